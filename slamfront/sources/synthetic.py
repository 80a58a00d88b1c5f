"""Frames from the simulation, with exact truth: the source that every other room can be tested on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.protocols import Source
from slamfront.simulation import Scene, scene
from slamfront.sources.rectify import rectified
from slamfront.types import FloatArray, Frame, IntArray, Sensor, Trajectory

# Frames between two that tell how far away the camera sees, which changes little from one to the next
_GLANCE_EVERY = 4
_RGBD_BASELINE_M = 0.08  # a virtual right camera turns depth into disparity


class SyntheticSource:
    """A simulated scene as a source.

    name    of a scene with options, such as `room-loop?frames=300&width=320`, or a `Scene`
    sensor  what the frames carry: "mono", "stereo" or "rgbd"

    Frames are rendered as they are asked for; those of a lens with distortion are left as that gives them. Raises
    SourceError for an unknown scene or option.
    """

    def __init__(self, name: str | Scene, sensor: Sensor = "rgbd") -> None:
        self._scene = scene(name) if isinstance(name, str) else name
        self._sensor = sensor
        baseline = {"mono": None, "stereo": self._scene.camera.baseline_m, "rgbd": _RGBD_BASELINE_M}[sensor]
        self._camera = replace(self._scene.camera, baseline_m=baseline)

    @property
    def scene(self) -> Scene:
        """The scene that is rendered."""
        return self._scene

    @property
    def name(self) -> str:
        """The scene's name, without options."""
        return self._scene.name

    @property
    def camera(self) -> Camera:
        """The camera; its baseline is real for stereo, virtual for RGB-D, and None for mono."""
        return self._camera

    @property
    def sensor(self) -> Sensor:
        """What the frames carry."""
        return self._sensor

    @property
    def live(self) -> bool:
        """Never: frames wait for whoever takes them."""
        return False

    @property
    def length(self) -> int:
        """Number of frames, without those that are missing."""
        return len(self._scene.indices)

    @property
    def reference(self) -> Trajectory:
        """The exact poses of the frames."""
        indices = self._scene.indices
        times_ns = [self._scene.time_ns(index) for index in indices]
        return Trajectory.from_poses(times_ns, [self._scene.pose(index) for index in indices])

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        for index in self._scene.indices:
            yield replace(self._scene.frame(index, self._sensor), camera=self._camera)


def open_synthetic(name: str, sensor: Sensor) -> Source:
    """Return a simulated scene as a source of ideal pinhole frames, whatever its lens; raises SourceError."""
    source = SyntheticSource(name, sensor)
    camera = source.camera
    if camera.model != "pinhole" and sensor == "stereo":
        assert camera.baseline_m is not None
        right_from_left = Pose(np.eye(3), np.array([-camera.baseline_m, 0.0, 0.0]))
        return rectified(source, StereoRig(camera, camera, right_from_left))
    return rectified(source, camera)


def truth_of(name: str) -> tuple[Trajectory, IntArray, FloatArray]:
    """Return the exact poses of a scene's frames, and how far away its camera sees, (T,) m, at times (T,) ns.

    See `Scene.median_depth_m`. The scene is not painted in full for this, and not every frame is looked at. Raises
    SourceError.
    """
    source = SyntheticSource(scene(name, coarse=True))
    glances = sorted({*range(0, len(source.scene), _GLANCE_EVERY), len(source.scene) - 1})
    depths_m = np.array([source.scene.median_depth_m(index) for index in glances])
    times_ns = np.array([source.scene.time_ns(index) for index in glances], np.int64)
    known = np.isfinite(depths_m)
    return source.reference, times_ns[known], depths_m[known]

"""Frames from the simulation, with exact truth: the source that every other room can be tested on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from slamfront.geometry.camera import Camera
from slamfront.simulation import Scene, scene
from slamfront.types import Frame, Sensor, Trajectory

_RGBD_BASELINE_M = 0.08  # a virtual right camera turns depth into disparity


class SyntheticSource:
    """A simulated scene as a source.

    name    of a scene with options, such as `room-loop?frames=300&width=320`, or a `Scene`
    sensor  what the frames carry: "mono", "stereo" or "rgbd"

    Frames are rendered as they are asked for. Raises SourceError for an unknown scene or option.
    """

    def __init__(self, name: str | Scene, sensor: Sensor = "rgbd") -> None:
        self._scene = scene(name) if isinstance(name, str) else name
        self._sensor = sensor
        baseline = {"mono": None, "stereo": self._scene.camera.baseline_m, "rgbd": _RGBD_BASELINE_M}[sensor]
        self._camera = replace(self._scene.camera, baseline_m=baseline)

    @property
    def name(self) -> str:
        """The scene's name, without options."""
        return self._scene.name

    @property
    def camera(self) -> Camera:
        """The pinhole camera; its baseline is real for stereo, virtual for RGB-D, and None for mono."""
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
        """Number of frames."""
        return self._scene.length

    @property
    def reference(self) -> Trajectory:
        """The exact trajectory."""
        return self._scene.trajectory()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        for index in range(self._scene.length):
            yield replace(self._scene.frame(index, self._sensor), camera=self._camera)

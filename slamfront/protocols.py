"""The outside world as small protocols with one verb each.

A fake of each ships in the package: `sources.synthetic`, `features.fake`, `matching.nearest`, `backend.null`,
`viewer.null`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from slamfront.geometry.camera import Camera
from slamfront.types import (
    Correction,
    Features,
    Float32Array,
    Frame,
    GraphCorrection,
    Image,
    Keypoints,
    Matches,
    PoseGraph,
    Sensor,
    Snapshot,
    Tracked,
    Trajectory,
    Window,
)


@runtime_checkable
class Source(Protocol):
    """Frames in order of time, and what is known about them beforehand.

    name        short, for titles and folders
    camera      calibration of every frame
    sensor      what the frames carry
    live        frames arrive at their own pace: the newest wins, and those that come too fast are dropped
    length      number of frames, or None when it is not known
    reference   true trajectory where the source has one
    """

    @property
    def name(self) -> str: ...
    @property
    def camera(self) -> Camera: ...
    @property
    def sensor(self) -> Sensor: ...
    @property
    def live(self) -> bool: ...
    @property
    def length(self) -> int | None: ...
    @property
    def reference(self) -> Trajectory | None: ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; one that cannot be used is skipped, and counted in a warning."""
        ...


class Extractor(Protocol):
    """Image to features."""

    def extract(self, image: Image) -> Features:
        """Return the features of a grey image (H,W); zero keypoints are a valid answer."""
        ...


class Detector(Protocol):
    """Image to keypoints: one half of an extractor."""

    @property
    def fingerprint(self) -> str:
        """What, besides the image, decides the answer; equal for two only if they answer alike."""
        ...

    def detect(self, image: Image) -> Keypoints:
        """Return the keypoints of an image, grey (H,W) or RGB (H,W,3), the best first; none are a valid answer."""
        ...


class Describer(Protocol):
    """Image and keypoints, whoever found them, to descriptors: the other half."""

    @property
    def fingerprint(self) -> str:
        """What, besides the image and the keypoints, decides the answer; equal for two only if they answer alike."""
        ...

    def describe(self, image: Image, keypoints: Keypoints) -> Float32Array:
        """Return descriptors (N,D) of unit length at the keypoints of an image, grey (H,W) or RGB (H,W,3)."""
        ...


class Matcher(Protocol):
    """Two sets of features to matches."""

    def match(self, first: Features, second: Features) -> Matches:
        """Return one-to-one matches; none are a valid answer."""
        ...


class Backend(Protocol):
    """Window to correction."""

    def solve(self, window: Window, /) -> Correction:
        """Return the optimised window; raises BackendError when it cannot be solved."""
        ...


class Closer(Protocol):
    """Work on the whole map: pose graphs and whole windows out, answers back."""

    @property
    def idle(self) -> bool:
        """Whether nothing is being worked on; so too when a job has failed, which has no answer."""
        ...

    def offer(self, job: Window | PoseGraph) -> bool:
        """Hand a job over, and say whether it was taken."""
        ...

    def take(self) -> list[Correction | GraphCorrection]:
        """Return the answers that have come since the last call, without waiting."""
        ...


class Adjuster(Protocol):
    """Windows out, corrections back, whether a backend runs in this loop or beside it."""

    @property
    def closer(self) -> Closer | None:
        """Who works on the whole map when a loop is found; None where loops stay open."""
        ...

    def forget(self) -> None:
        """Give no correction of a window that was offered before: the map has moved since."""
        ...

    @property
    def idle(self) -> bool:
        """Whether a window would be taken now."""
        ...

    def offer(self, window: Window) -> bool:
        """Hand a window over, and say whether it was taken."""
        ...

    def take(self) -> list[Correction]:
        """Return the corrections that have come since the last call, without waiting."""
        ...


class Viewer(Protocol):
    """Someone who looks at the run, on the main thread."""

    def show(self, snapshot: Snapshot) -> bool:
        """Draw the newest state; False when the viewer was closed and the run should end."""
        ...


class Sink(Protocol):
    """Someone who keeps what the front end answers."""

    def write(self, tracked: Tracked) -> None:
        """Take one answer; raises OutputError when it cannot be kept."""
        ...

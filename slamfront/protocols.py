"""The outside world as small protocols with one verb each.

A fake of each ships in the package: `sources.synthetic`, `features.fake`, `matching.nearest`, `backend.null`,
`viewer.null`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from slamfront.geometry.camera import Camera
from slamfront.types import (
    BundleAdjustmentProblem,
    Correction,
    Features,
    Float32Array,
    Frame,
    Image,
    Keypoints,
    LoopClosingProblem,
    LoopClosingSolution,
    Matches,
    Sensor,
    Snapshot,
    Tracked,
    Trajectory,
)

_Problem = TypeVar("_Problem", contravariant=True)
_Solution = TypeVar("_Solution", covariant=True)


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

    def detect(self, image: Image) -> Keypoints:
        """Return the keypoints of an image, grey (H,W) or RGB (H,W,3), the best first; none are a valid answer."""
        ...


class Describer(Protocol):
    """Image and keypoints, whoever found them, to descriptors: the other half."""

    def describe(self, image: Image, keypoints: Keypoints) -> Float32Array:
        """Return descriptors (N,D) of unit length at the keypoints of an image, grey (H,W) or RGB (H,W,3)."""
        ...


class Matcher(Protocol):
    """Two sets of features to matches."""

    def match(self, first: Features, second: Features) -> Matches:
        """Return one-to-one matches; none are a valid answer."""
        ...


class Solver(Protocol[_Problem, _Solution]):
    """Problem to solution: local and full bundle adjustment, pose graphs."""

    def solve(self, problem: _Problem, /) -> _Solution:
        """Return the solution of a problem; raises BackendError when it cannot be solved."""
        ...


BundleAdjustmentSolver = Solver[BundleAdjustmentProblem, Correction]
LoopClosingSolver = Solver[LoopClosingProblem, LoopClosingSolution]


class SolverWorker(Protocol[_Problem, _Solution]):
    """Solves one problem at a time beside tracking, or in between: submitted, and polled for the solution later."""

    @property
    def idle(self) -> bool:
        """Whether a problem would be taken now; so too when the last one has failed, which has no solution."""
        ...

    @property
    def failed(self) -> int:
        """Number of problems that could not be solved."""
        ...

    def submit(self, problem: _Problem) -> bool:
        """Hand a problem over, and return whether it was taken."""
        ...

    def poll(self) -> Sequence[_Solution]:
        """Return the solutions that have come since the last call, without waiting."""
        ...

    def discard_pending(self) -> None:
        """Return no solution of a problem that was submitted before: the map has moved since."""
        ...

    def finish(self) -> None:
        """Wait until what was submitted is solved, for the last poll; raises what ended the worker, if something did.

        A worker with a thread ends it, and takes no problem afterwards.
        """
        ...

    def close(self) -> None:
        """Take no problem any more, and wait for nothing: a solution that is still to come is dropped."""
        ...


@dataclass(frozen=True)
class Workers:
    """What a front end has solved beside tracking.

    bundle_adjustment  local bundle adjustment about the newest keyframe
    loop_closing       pose graphs of loops, and the full bundle adjustments that follow; None where loops stay open
    """

    bundle_adjustment: SolverWorker[BundleAdjustmentProblem, Correction]
    loop_closing: SolverWorker[LoopClosingProblem, LoopClosingSolution] | None = None

    def finish(self) -> None:
        """Wait until what was submitted is solved; no loop is closed afterwards."""
        self.bundle_adjustment.finish()
        if self.loop_closing is not None:
            self.loop_closing.finish()
            self.loop_closing.close()


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

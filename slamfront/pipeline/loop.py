"""A whole run: frames from a source through a session, in one loop or with threads side by side.

Whoever wants a run to end (a signal, a closed window, the end of the source) closes the first channel; the rest drains.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from slamfront.errors import FrameError, SlamfrontError, one_line
from slamfront.frontend import FrontEnd
from slamfront.loop_closing.loop_detection import Loop
from slamfront.map import KeyframeMap
from slamfront.pipeline.clock import Clock
from slamfront.pipeline.endings import Endings, endings
from slamfront.pipeline.journal import Journal
from slamfront.pipeline.session import Session, Watcher, WholeMapBackend
from slamfront.pipeline.snapshots import Audience, Pace
from slamfront.protocols import Sink, Source, Workers
from slamfront.runtime import Channel, Closed, Latest, Worker
from slamfront.types import Frame, Snapshot, Trajectory

log = logging.getLogger(__name__)

WINDOW_CLOSED = "the window was closed"
"""Why a run ended whose viewer was closed."""

_FRAMES = 4
"""Frames that a thread reads ahead."""
_TICK_S = 0.02
"""How often a window is served while there is no news for it."""
_READER_S = 3.0
"""How long a source may take to notice that nobody wants its frames; a camera's driver may never answer."""


@dataclass(frozen=True)
class RunSummary:
    """What came of a run.

    world        the map at the end, of several the one that places most frames, and a snapshot of the one that frames
                 were placed in last; None when no frame could be used
    maps         all maps by their numbers: more than one where tracking was lost for long, and no common place was seen
                 since
    skipped      frames that could not be used; dropped  those of a live source that came too fast
    first_own_id  id from which on keyframes are of this run, and not of a map that it began with
    local_ba_failed  local bundle adjustments that failed
    loops        the loops that were closed, oldest first
    fps          frames a second, end to end
    ended        why the run ended before its source did, empty when it did not
    failure      the error that ended it, of the source or of what takes its frames; None when nothing did
    clock        tells the time stamps of frames from the times of the journal
    reason       why most of the frames without a pose have none, empty where all have one
    """

    journal: Journal
    world: KeyframeMap | None
    snapshot: Snapshot | None
    skipped: int
    dropped: int
    local_ba_failed: int
    fps: float
    first_own_id: int = 0
    loops: tuple[Loop, ...] = ()
    maps: Mapping[int, KeyframeMap] = field(default_factory=dict)
    ended: str = ""
    failure: Exception | None = None
    reason: str = ""
    clock: Clock = field(default_factory=Clock)

    @property
    def frames(self) -> int:
        """Number of frames that came, usable or not."""
        return len(self.journal) + self.skipped

    @property
    def trajectory(self) -> Trajectory:
        """Poses of all frames that `world` can place."""
        return self.clock.stamped(self.journal.trajectory(self.world))

    @property
    def others(self) -> Mapping[int, KeyframeMap]:
        """The maps but `world`, by their numbers."""
        return {number: world for number, world in self.maps.items() if world is not self.world}


def run(
    source: Source,
    front: FrontEnd,
    workers: Workers,
    audience: Audience | None = None,
    sinks: Sequence[Sink] = (),
    *,
    threads: bool = False,
    whole_map: WholeMapBackend | None = None,
    watch: Watcher | None = None,
    ends: Endings | None = None,
) -> RunSummary:
    """Run a source to its end, or until someone stops it, and return what came of it.

    front, workers   the workers are those that the front end was made with
    threads          source and front end on threads of their own; without, one loop that repeats to the last digit
    whole_map        backend of the last adjustment, None for none
    watch            called with the status after every frame, on the thread of the front end
    ends             what ends the run from outside; by default signals do while it lasts

    Ctrl-C, SIGTERM, SIGHUP, a closed window and whatever fails (source, front end, sink) end the run with the results
    so far: see `RunSummary`. A second Ctrl-C raises KeyboardInterrupt.
    """
    if ends is None:
        with endings() as own, own.keeping():
            return run(
                source, front, workers, audience, sinks, threads=threads, whole_map=whole_map, watch=watch, ends=own
            )
    audience = audience or Audience()
    session = Session(front, workers, sinks, whole_map, watch, source.length)
    ends.actions.append(audience.controls.release)
    drive = _drive_threads if threads else _drive_inline
    failure, dropped = drive(source, session, audience, ends)
    return RunSummary(
        session.journal,
        session.main_map,
        session.snapshot(),
        session.skipped + getattr(source, "skipped", 0),
        dropped + getattr(source, "dropped", 0),
        workers.bundle_adjustment.failed,
        session.fps,
        front.first_own_id,
        front.loops,
        dict(front.maps),
        _told(failure) if failure else ends.reason,
        failure,
        session.reason,
        session.clock,
    )


def linger(audience: Audience, snapshot: Snapshot | None) -> None:
    """Leave the window open on the final map until it is closed, or Ctrl-C is pressed; returns at once without one."""
    tick = threading.Event()
    with suppress(KeyboardInterrupt):
        while audience.window and snapshot is not None and audience.viewer.show(snapshot):
            tick.wait(_TICK_S)


def _drive_inline(source: Source, session: Session, audience: Audience, stop: Endings) -> tuple[Exception | None, int]:
    """Do everything in this loop; returns what ended the run, and the frames that were dropped."""
    failure, pace, last = None, Pace(audience.interval_s), None
    try:
        with closing(_frames_of(source)) as frames:
            while not stop.reason:
                frame = next(frames, None)
                if frame is None:
                    break
                while not audience.controls.admit(_TICK_S):
                    if last is not None and not audience.viewer.show(last):
                        stop(WINDOW_CLOSED)
                last = _step(session, frame, pace) or last
                if last is not None and not audience.viewer.show(last):
                    stop(WINDOW_CLOSED)
    except Exception as error:  # what was tracked until then is kept
        failure = error
    return failure or _finish(session), 0


def _drive_threads(source: Source, session: Session, audience: Audience, stop: Endings) -> tuple[Exception | None, int]:
    """Read and track on threads while this one serves the viewer; returns as `_drive_inline` does."""
    frames: Channel[Frame] = Latest() if source.live else Channel(_FRAMES)
    # A viewer that wants every frame makes the front end wait; others get the newest
    snapshots: Channel[Snapshot] = Latest() if audience.interval_s else Channel(2)
    pace = Pace(audience.interval_s)

    def read() -> None:
        with closing(_frames_of(source)) as iteration:
            for frame in iteration:
                frames.put(frame)

    def track() -> None:
        try:
            for frame in frames:
                audience.controls.admit()
                snapshot = _step(session, frame, pace)
                if snapshot is not None:
                    snapshots.put(snapshot)
        finally:
            frames.close()
            problem = _finish(session)
        if problem is not None:
            raise problem

    def end() -> None:
        frames.close()
        snapshots.close()

    stop.actions.append(frames.close)
    if stop.reason:  # it came while things were being made, before there was anything to close
        frames.close()
    reader = Worker("source", read, frames.close).start()
    tracker = Worker("front", track, end).start()
    try:
        _look(snapshots, audience, stop)
    finally:
        frames.close()
        snapshots.close()
        audience.controls.release()
    tracker.join()
    reader.join(_READER_S)
    failure = tracker.error or reader.error
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    return failure, frames.dropped if isinstance(frames, Latest) else 0


def _finish(session: Session) -> Exception | None:
    """Finish a session; returns what kept it from that, which costs nothing but the last adjustment."""
    try:
        session.finish()
    except Exception as error:
        return error
    return None


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, SlamfrontError) else f"{type(error).__name__}: {one_line(error)}"


def _look(snapshots: Channel[Snapshot], audience: Audience, stop: Endings) -> None:
    """Show snapshots until the front end has finished; a window is served in between."""
    last: Snapshot | None = None
    while True:
        try:
            last = snapshots.get(None if last is None else _TICK_S)
        except TimeoutError:
            pass
        except Closed:
            return
        if last is not None and not audience.viewer.show(last):
            stop(WINDOW_CLOSED)


def _step(session: Session, frame: Frame, pace: Pace) -> Snapshot | None:
    """Take a frame, or count it as skipped; returns a snapshot when one is due."""
    try:
        session.take(frame)
    except FrameError as error:
        session.skip(error)
        return None
    return session.snapshot() if pace.due() else None


def _frames_of(source: Source) -> Generator[Frame, None, None]:
    """Return an iteration that can be closed, whatever the source iterates with."""
    yield from source

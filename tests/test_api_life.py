"""A Slam in a program that does what programs do: raises, is interrupted, forks, uses threads, and forgets to close."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import slamfront
from slamfront.errors import ConfigError, FrameError, MapError, SourceError
from slamfront.pipeline.clock import Clock
from slamfront.runtime import Servant
from slamfront.types import Frame
from tests.frames import INLINE, SAMPLE, THREADED, Recorded

ROOT = Path(__file__).resolve().parents[1]
SECOND = 1_000_000_000


def push(slam: slamfront.Slam, frame: Frame, time_ns: int | None = None) -> slamfront.Tracked:
    return slam.push(frame.image, frame.time_ns if time_ns is None else time_ns, depth_m=frame.depth_m)


def new(source: Recorded, config: slamfront.RunConfig = INLINE) -> slamfront.Slam:
    return slamfront.Slam(config, camera=source.camera, sensor="rgbd")


@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_callback_that_raises_costs_nothing_but_its_own_call(when: int) -> None:
    source, calls = Recorded(12), []

    def callback(keyframe: slamfront.KeyFrame) -> None:
        calls.append(keyframe.id)
        if len(calls) in (when, when + 1):
            raise RuntimeError("mine")

    raised = 0
    with new(source) as slam:
        slam.on_keyframe(callback)
        seen: list[int] = []
        slam.on_keyframe(lambda keyframe: seen.append(keyframe.id))
        for frame in source:
            try:
                push(slam, frame)
            except RuntimeError:
                raised += 1
        assert len(slam.trajectory()) == 12
        assert slam.state is slamfront.State.TRACKING
    assert 1 <= raised <= 2
    assert seen == calls, "everyone is called with every keyframe"


STEPS = ["_observe", "_begin", "_locate", "_follow_local_map", "_apply_corrections", "_finish_keyframe", "_answer"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_frame_that_fails_anywhere_leaves_the_state_before_it(
    step: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Recorded(12)
    with new(source) as slam:
        front = slam._session.front
        for number, frame in enumerate(source):
            if number == at:
                before = slam.state, len(slam.trajectory())
                with monkeypatch.context() as patch:
                    patch.setattr(front, step, lambda *a, **k: 1 / 0, raising=True)
                    called = True
                    try:
                        push(slam, frame, frame.time_ns)
                    except ZeroDivisionError:
                        called = False
                if not called:
                    assert (slam.state, len(slam.trajectory())) == before
                continue
            push(slam, frame)
        assert slam.state is slamfront.State.TRACKING
        assert len(slam.trajectory()) >= 11


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Python's own handler of SIGINT: a shell lets programs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_breaks_off_the_wait_and_not_the_frame() -> None:
    source = Recorded(12)
    with new(source) as slam:
        session = slam._session
        take, started, sent = session.take, threading.Event(), threading.Event()

        def slow(frame: Frame) -> slamfront.Tracked:
            started.set()
            sent.wait(5.0)
            time.sleep(0.2)
            return take(frame)

        def interrupt() -> None:
            started.wait(5.0)
            os.kill(os.getpid(), signal.SIGINT)
            sent.set()

        session.take = slow  # type: ignore[method-assign]
        frames = list(source)
        for number, frame in enumerate(frames[:8]):
            if number % 2:
                started.clear()
                sent.clear()
                killer = threading.Thread(target=interrupt)
                killer.start()
                with pytest.raises(KeyboardInterrupt):
                    push(slam, frame)
                killer.join()
            else:
                sent.set()
                push(slam, frame)
        session.take = take  # type: ignore[method-assign]
        push(slam, frames[8])
        assert len(slam.trajectory()) == 9, "frames whose wait was broken off were taken"


def test_threads_that_push_wait_for_each_other() -> None:
    source = Recorded(20)
    frames, errors, taken = list(source), [], []
    with new(source, THREADED) as slam:

        def go(first: int) -> None:
            for number in range(first, 16, 2):
                try:
                    taken.append(push(slam, frames[number]).frame_id)
                except FrameError:
                    pass  # the other thread was quicker
                except BaseException as error:
                    errors.append(error)
                assert slam.pose is None or np.isfinite(slam.pose.translation_m).all()

        threads = [threading.Thread(target=go, args=(first,)) for first in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for frame in frames[16:]:
            push(slam, frame)
    assert not errors
    assert len(taken) > 4 and len(slam.trajectory()) == len(taken) + 4


def test_a_callback_may_read_and_not_push() -> None:
    source, seen, refused = Recorded(8), [], []
    with new(source) as slam:

        def callback(keyframe: slamfront.KeyFrame) -> None:
            seen.append((slam.pose, slam.map(), slam.keyframe_pose(keyframe.id)))
            for forbidden in (lambda: push(slam, source.frames[0]), slam.reset, slam.close):
                with pytest.raises(SourceError, match="callback may read"):
                    forbidden()
                refused.append(forbidden)

        slam.on_keyframe(callback)
        for frame in source:
            push(slam, frame)
    assert seen and len(refused) == 3 * len(seen)


def test_depth_of_half_precision_and_of_doubles_is_taken() -> None:
    source = Recorded(4)
    with new(source) as slam:
        for frame, kind in zip(source, (np.float32, np.float16, np.float64, np.float32)):
            assert frame.depth_m is not None
            slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m.astype(kind))
        assert len(slam.trajectory()) == 4


@pytest.mark.parametrize(
    ("image", "depth", "time_ns"),
    [
        ("text", None, 1),
        (None, np.array("x"), 1),
        (None, np.zeros((240, 320, 1), np.float32), 1),
        (np.array([[object()]]), None, 1),
        (None, None, 10**30),
        (None, None, "soon"),
        (None, None, None),
    ],
)
def test_whatever_is_pushed_is_a_frame_error_or_a_frame(image: object, depth: object, time_ns: object) -> None:
    source = Recorded(3)
    first, second, third = source.frames
    with new(source) as slam:
        push(slam, first)
        with pytest.raises(FrameError):
            slam.push(
                second.image if image is None else image,  # type: ignore[arg-type]
                time_ns,  # type: ignore[arg-type]
                depth_m=second.depth_m if depth is None else depth,  # type: ignore[arg-type]
            )
        push(slam, third)
        assert len(slam.trajectory()) == 2


def test_what_the_sensor_does_not_use_is_refused() -> None:
    source = Recorded(1)
    (frame,) = source
    with slamfront.Slam(INLINE, camera=source.camera, sensor="mono") as slam:
        with pytest.raises(FrameError, match="the depth is given, sensor is mono"):
            push(slam, frame)
        with pytest.raises(FrameError, match="the right image is given, sensor is mono"):
            slam.push(frame.image, 1, right=frame.image)
        slam.push(frame.image, 1)


@pytest.mark.parametrize("jump_s", [-10_000, 10_000])
def test_a_clock_that_jumps_costs_one_frame(jump_s: int) -> None:
    source = Recorded(16)
    with new(source) as slam:
        stamps = []
        for number, frame in enumerate(source):
            stamp = frame.time_ns
            if jump_s < 0:  # set back once, and it stays so
                stamp += jump_s * SECOND * (number >= 6)
            elif number == 6:  # one stamp in the future
                stamp += jump_s * SECOND
            try:
                assert push(slam, frame, stamp).time_ns == stamp
                stamps.append(stamp)
            except FrameError:
                assert number in (6, 7)
        assert len(stamps) == 15
        assert slam.state is slamfront.State.TRACKING
        trajectory = slam.trajectory()
    assert trajectory.times_ns.tolist() == sorted(stamps)


def test_times_that_only_shake_are_refused_one_by_one() -> None:
    clock, frame = Clock(), Recorded(1).frames[0]
    taken = []
    for stamp in (10, 20, 20, 20, 15, 30, 29, 40):
        try:
            taken.append(clock.admit(replace(frame, time_ns=stamp)).time_ns)
        except FrameError:
            continue
    assert taken == [10, 20, 30, 40]


def test_stamps_come_back_from_times() -> None:
    clock, frame = Clock(), Recorded(1).frames[0]
    times = []
    for stamp in (100, 110, 5, 15, 25, 3, 13, 23):
        try:
            times.append(clock.admit(replace(frame, time_ns=stamp)).time_ns)
        except FrameError:
            continue
    assert (np.diff(times) > 0).all()
    assert clock.stamps(times).tolist() == [100, 110, 15, 25, 13, 23]


def test_a_sensor_and_a_path_that_do_not_exist_are_one_line(tmp_path: Path) -> None:
    source = Recorded(1)
    with pytest.raises(ConfigError, match=r"sensor must be one of mono, stereo, rgbd, got 'RGBD'"):
        slamfront.Slam(INLINE, camera=source.camera, sensor="RGBD")  # type: ignore[arg-type]
    with pytest.raises(slamfront.SlamfrontError, match="No such file"):
        slamfront.Slam(INLINE, camera=tmp_path / "none.yaml")


def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slamfront.build._best_device", lambda: "cpu")
    with pytest.raises(ConfigError, match="device is cuda, but PyTorch finds no CUDA here"):
        slamfront.Slam(replace(INLINE, device="cuda"), camera=Recorded(1).camera)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_calibration_file_may_stand_for_its_camera(kind: Callable[[str], str | Path]) -> None:
    with slamfront.Slam(INLINE, camera=kind(str(SAMPLE / "calibration.yaml"))) as slam:
        assert slam.camera.width == 320


def test_warming_up_leaves_no_trace() -> None:
    source = Recorded(4)
    with new(source) as cold, new(source) as warm:
        warm.warm_up()
        assert warm.map() is None and len(warm.trajectory()) == 0
        for frame in source:
            first, second = push(cold, frame), push(warm, frame)
            assert first.frame_id == second.frame_id and first.inliers == second.inliers


def test_keyframes_are_found_by_their_ids_and_in_the_snapshot() -> None:
    source, ids = Recorded(), []
    with new(source) as slam:
        slam.on_keyframe(lambda keyframe: ids.append(keyframe.id))
        for frame in source:
            push(slam, frame)
        snapshot = slam.map()
        assert snapshot is not None
        for keyframe_id, matrix in zip(snapshot.keyframe_ids.tolist(), snapshot.keyframe_poses):
            np.testing.assert_array_equal(slam.keyframe_pose(keyframe_id).matrix(), matrix)
        for keyframe_id in ids:  # also those that were culled
            slam.keyframe_pose(keyframe_id)
        with pytest.raises(MapError, match="no keyframe 99999"):
            slam.keyframe_pose(99999)
        assert len(snapshot.landmark_ids) == len(snapshot.landmarks_m)
        assert set(snapshot.keyframe_times_ns.tolist()) <= {frame.time_ns for frame in source.frames}


def test_corrections_name_the_keyframes_that_they_move() -> None:
    source, moved = Recorded(), []
    with new(source) as slam:
        slam.on_correction(moved.append)
        for frame in source:
            push(slam, frame)
    assert {one.why for one in moved} == {"adjustment"}
    assert all(one.keyframe_ids for one in moved)


def test_values_are_shown_in_one_short_line() -> None:
    source = Recorded(3)
    with new(source) as slam:
        answers = [push(slam, frame) for frame in source]
        shown = [repr(slam), repr(slam.map()), repr(slam.trajectory()), repr(answers[-1]), repr(source.frames[0])]
    assert all("\n" not in text and len(text) < 600 for text in shown)
    assert "state=tracking" in shown[1] and "camera=Camera(pinhole 320x240)" in shown[4] and "mask" not in shown[4]
    assert shown[0].startswith("Slam(rgbd, tracking, 3 frames, ")


def test_the_callers_arrays_stay_writeable() -> None:
    image, depth_m = np.zeros((240, 320), np.uint8), np.ones((240, 320), np.float32)
    frame = Frame(0, 0, image, Recorded(1).camera, depth_m=depth_m)
    image[0] = depth_m[0] = 1
    assert not frame.image.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0] = 2


# --- ends


def run_program(code: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    head = """
    import gc, os, signal, sys, threading, time
    import slamfront
    from tests.frames import Recorded, THREADED
    source = Recorded(6)
    def new():
        return slamfront.Slam(THREADED, camera=source.camera, sensor="rgbd")
    def push(slam, count=6):
        for frame in source.frames[:count]:
            slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m)
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout_s, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("raise SystemExit(5)", 5), ("raise RuntimeError('mine')", 1), ("sys.exit()", 0)],
)
def test_a_program_that_ends_without_closing_ends_as_it_would_have(ending: str, code: int) -> None:
    done = run_program(f"slams = [new() for _ in range(2)]\nfor s in slams: push(s)\n{ending}")
    assert done.returncode == code, done.stderr
    assert ("mine" in done.stderr) if code == 1 else not done.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are counted in /proc")
def test_slams_that_are_dropped_leave_no_threads_and_no_processes() -> None:
    done = run_program(
        """
        def alive():
            children = open(f'/proc/self/task/{os.getpid()}/children').read().split()
            return threading.active_count(), len(os.listdir('/proc/self/fd')), children
        push(new()); gc.collect(); time.sleep(.5)
        before = alive()
        for _ in range(4):
            slam = new(); push(slam, 3); del slam; gc.collect()
        time.sleep(.5)
        print(before[0] - alive()[0], before[1] - alive()[1], len(alive()[2]))
        """
    )
    assert done.stdout.split() == ["0", "0", "0"], (done.stdout, done.stderr)
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_reads_is_refused_and_ends() -> None:
    done = run_program(
        """
        slam = new(); push(slam, 4)
        child = os.fork()
        if child == 0:
            print(len(slam.trajectory()), slam.state.value, flush=True)
            try:
                push(slam)
            except slamfront.SlamfrontError as error:
                print(error, flush=True)
            slam.close()
            sys.exit(7)
        _, status = os.waitpid(child, 0)
        slam.push(source.frames[5].image, source.frames[5].time_ns, depth_m=source.frames[5].depth_m)
        slam.close()
        print(os.waitstatus_to_exitcode(status), len(slam.trajectory()))
        """
    )
    assert done.stdout.splitlines()[0] == "4 tracking", done.stderr
    assert "belongs to the process that made it" in done.stdout
    assert done.stdout.splitlines()[-1] == "7 5", done.stderr
    assert done.returncode == 0


def test_a_servant_raises_what_its_function_raises_and_goes_on() -> None:
    servant = Servant("test")
    with pytest.raises(ZeroDivisionError):
        servant.call(lambda: 1 / 0)
    assert servant.call(lambda: 3) == 3
    servant.close()
    servant.join(5.0)
    gc.collect()

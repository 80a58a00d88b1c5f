from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.backend import NullBackend, RemoteBackend
from slamfront.build import build_front, resolve, whole_map_backend, workers_of
from slamfront.config import MapsConfig, RunConfig, SmoothingConfig
from slamfront.errors import BackendError, OutputError
from slamfront.evaluation.trajectory import evaluate
from slamfront.evaluation.trajectory.results import read_result, read_stage_times
from slamfront.geometry.pose import Pose
from slamfront.pipeline import Audience, Journal, ThreadedWorker, run
from slamfront.pipeline.endings import Endings
from slamfront.pipeline.folder import Claim
from slamfront.pipeline.results import RunFolder
from slamfront.protocols import Source, Workers
from slamfront.trajectories import read_kitti, read_tum
from slamfront.types import BundleAdjustmentProblem, Correction, State, Tracked
from slamfront.viewer.controls import Controls
from tests.frames import COUNT, INLINE, THREADED, Recorded, Watching, run_on

PATIENCE_S = 20.0


class Failing:
    """A backend that can solve nothing."""

    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction:
        raise BackendError("there is no solution")


def test_inline_runs_are_equal_to_the_last_digit() -> None:
    first, second = (run_on(Recorded(), whole_map=whole_map_backend(INLINE)) for _ in range(2))
    assert first.world is not None and second.world is not None
    np.testing.assert_array_equal(first.trajectory.positions_m, second.trajectory.positions_m)
    np.testing.assert_array_equal(first.trajectory.quaternions_xyzw, second.trajectory.quaternions_xyzw)
    np.testing.assert_array_equal(first.world.landmarks.positions_m, second.world.landmarks.positions_m)


def test_a_run_follows_the_truth() -> None:
    source = Recorded()
    summary = run_on(source, whole_map=whole_map_backend(INLINE))
    assert summary.journal.tracked_count == len(summary.trajectory) == COUNT
    # A few times the pixel's footprint: 1 px is 4 mm at the 1.3 m of this room's near walls
    assert evaluate(source.reference, summary.trajectory).se3.translation_m.rmse < 0.015


class Bending:
    """A backend of the last adjustment that bends the map: every landmark nearer by a fifth."""

    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction:
        return replace(NullBackend().solve(problem), landmarks_m=0.8 * problem.landmarks_m)


def test_a_last_adjustment_that_fits_frames_worse_is_undone() -> None:
    bent = run_on(Recorded(), whole_map=lambda: nullcontext(Bending()))
    as_it_was = run_on(Recorded(), whole_map=None)
    assert bent.world is not None and as_it_was.world is not None
    ids = as_it_was.world.landmarks.ids(np.flatnonzero(as_it_was.world.landmarks.alive))
    rows = bent.world.landmarks.rows(ids)
    kept = as_it_was.world.landmarks.positions_m[as_it_was.world.landmarks.rows(ids)]
    np.testing.assert_allclose(bent.world.landmarks.positions_m[rows], kept, atol=1e-9)
    np.testing.assert_allclose(bent.trajectory.positions_m, as_it_was.trajectory.positions_m, atol=1e-6)


def test_a_threaded_run_answers_every_frame_in_order() -> None:
    source = Recorded()
    summary = run_on(source, THREADED, whole_map=whole_map_backend(THREADED))
    assert summary.journal.frame_ids.tolist() == list(range(COUNT))
    assert summary.journal.tracked_count == COUNT
    assert (summary.ended, summary.failure, summary.skipped, summary.dropped) == ("", None, 0, 0)
    assert evaluate(source.reference, summary.trajectory).se3.translation_m.rmse < 0.015


def test_a_live_source_loses_frames_only_by_dropping_and_counts_them() -> None:
    summary = run_on(Recorded(live=True), THREADED, workers=Workers(ThreadedWorker(NullBackend())))
    ids = summary.journal.frame_ids
    assert len(ids) + summary.dropped == COUNT
    assert ids[-1] == COUNT - 1, "the newest frame wins"
    assert (np.diff(ids) > 0).all()


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_backend_that_fails_is_told_once_and_costs_no_frame(
    config: RunConfig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slamfront.build.local_backend", lambda _: Failing())
    workers = Workers(ThreadedWorker(Failing())) if config.threads else None
    summary = run_on(Recorded(), config, workers=workers)
    assert summary.journal.tracked_count == COUNT
    assert summary.local_ba_failed > 1
    assert caplog.text.count("there is no solution") == 1


def test_the_run_goes_on_when_the_backend_process_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    with RemoteBackend(INLINE.backend) as backend:
        killed = []

        def kill(row: int) -> None:
            if row == 10 and backend.process_id is not None:
                killed.append(backend.process_id)
                os.kill(backend.process_id, signal.SIGKILL)

        summary = run_on(Recorded(before=kill), THREADED, workers=Workers(ThreadedWorker(backend)))
        assert backend.process_id not in (None, *killed), "a new process has taken over"
    assert summary.journal.tracked_count == COUNT
    assert summary.local_ba_failed == 1
    assert caplog.text.count("the backend process was lost") == 1


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_crash_of_the_front_end_ends_the_run_with_its_error_and_nothing_hangs(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def extract(self, image: np.ndarray) -> None:
            raise ZeroDivisionError

    monkeypatch.setattr("slamfront.build.build_extractor", lambda _: Broken())
    summary = run_on(Recorded(), config)
    assert isinstance(summary.failure, ZeroDivisionError)
    assert summary.ended.startswith("ZeroDivisionError")


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_full_disk_ends_the_run_with_its_error(config: RunConfig) -> None:
    class Full:
        def write(self, tracked: Tracked) -> None:
            raise OutputError("the disk is full")

    summary = run_on(Recorded(), config, sinks=[Full()])
    assert isinstance(summary.failure, OutputError)
    assert (summary.ended, len(summary.journal)) == ("the disk is full", 1), "what was tracked until then is kept"


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_closing_the_window_ends_the_run_with_its_results(config: RunConfig) -> None:
    viewer = Watching(closed_after=4)
    summary = run_on(Recorded(), config, audience=Audience(viewer, interval_s=0.0))
    assert 4 <= len(summary.journal) < COUNT
    assert summary.ended == "the window was closed"
    assert len(summary.trajectory) == len(summary.journal)


@pytest.mark.parametrize("threads", [False, True], ids=["inline", "threaded"])
def test_a_run_that_is_ended_while_it_starts_ends(threads: bool) -> None:
    source, ends = Recorded(), Endings()
    with ends.keeping(), workers_of(INLINE) as workers:
        ends.take(signal.SIGTERM)
        front = build_front(resolve(INLINE), source.camera, source.sensor, workers)
        summary = run(source, front, workers, threads=threads, ends=ends)
    assert (summary.ended, summary.failure) == ("told to end", None)
    assert len(summary.journal) <= 2  # those that were read before the channel was closed


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_recording_viewer_sees_every_frame_and_the_map_grow(config: RunConfig) -> None:
    viewer = Watching()
    run_on(Recorded(), config, audience=Audience(viewer, interval_s=0.0))
    assert [snapshot.frame_id for snapshot in viewer.shown] == list(range(COUNT))
    last = viewer.shown[-1]
    assert len(last.trajectory_m) == COUNT
    assert len(last.keyframe_poses) > len(viewer.shown[0].keyframe_poses)
    assert len(last.landmarks_m) == len(last.landmark_intensity) > 0
    assert (last.covisibility[:, 0] < last.covisibility[:, 1]).all()
    assert last.world_from_camera is not None
    np.testing.assert_allclose(last.trajectory_m[-1], last.world_from_camera.translation_m, atol=1e-12)


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_paused_run_waits_while_its_window_is_served(config: RunConfig) -> None:
    controls = Controls()

    class Pausing(Watching):
        served = 0

        def show(self, snapshot: object) -> bool:
            self.served += 1
            if self.served == 3:
                controls.pause()
            if self.served == 12:
                controls.release()
            return super().show(snapshot)  # type: ignore[arg-type]

    viewer = Pausing()
    summary = run_on(Recorded(), config, audience=Audience(viewer, 0.0, controls))
    assert len(summary.journal) == COUNT
    assert viewer.served > COUNT, "the window was served while no frame came"


def test_a_run_without_a_frame_ends_with_nothing() -> None:
    summary = run_on(Recorded(0), THREADED)
    assert (summary.frames, summary.world, summary.snapshot, len(summary.trajectory)) == (0, None, None, 0)


def test_a_correction_of_a_keyframe_moves_the_frames_that_hang_on_it() -> None:
    summary = run_on(Recorded(), whole_map=None)
    world = summary.world
    assert world is not None
    before = summary.journal.poses(world)
    shift = Pose(np.eye(3), np.array([0.0, 0.0, 1.0]))
    for record in world.keyframes.values():
        record.world_from_camera = shift @ record.world_from_camera
    after = summary.journal.poses(world)
    for frame_id, pose in before.items():
        np.testing.assert_allclose(after[frame_id].translation_m, pose.translation_m + [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(
        summary.journal.positions_m(world), [pose.translation_m for pose in after.values()], atol=1e-12
    )


def test_frames_of_a_map_that_was_given_up_have_no_final_pose() -> None:
    summary = run_on(Recorded(), whole_map=None)
    assert summary.world is not None
    summary.world.clear()
    assert len(summary.journal.trajectory(summary.world)) == 0
    assert summary.journal.last_pose(summary.world) is None
    assert summary.journal.tracked_count == COUNT


def test_a_journal_stays_small() -> None:
    journal = Journal(SmoothingConfig())
    pose = Pose(np.eye(3), np.zeros(3))
    for number in range(2000):
        journal.add(Tracked(number, number, State.TRACKING, 0, pose, pose, stage_ms={"extract": 1.0}))
    held = (journal._ids, journal._times_ns, journal._references, journal._poses, journal._frame_ms)
    assert sum(column.itemsize * len(column) for column in held) <= 88 * 2000


def finish(folder: Path, source: Source, **options: object) -> tuple[RunFolder, int]:
    """Run into a folder, and return it with the number of frames."""
    results = RunFolder(Claim(folder))
    results.begin(INLINE, {"machine": "this one"})
    with results.sinks() as sinks:
        summary = run_on(source, sinks=sinks, whole_map=whole_map_backend(INLINE))  # type: ignore[arg-type]
    results.finish(summary, source, INLINE, 100.0, **options)  # type: ignore[arg-type]
    results.close()
    return results, summary.frames


def test_a_run_folder_holds_everything(tmp_path: Path) -> None:
    finish(tmp_path / "run", Recorded(12))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("config.yaml", "environment.json", "loops.csv", "metrics.json", "errors.csv", "stats.csv"),
        *("online.tum", "final.tum", "keyframes.tum", "landmarks.ply", "colmap"),
        *("map.png", "trajectory.png", "errors.png", "stages.png", ".slamfront-run"),
    }
    assert len(read_tum(tmp_path / "run" / "online.tum")) == len(read_tum(tmp_path / "run" / "final.tum")) == 12
    result = read_result(tmp_path / "run")
    assert (result.tracked_percent, result.frames, result.sensor, result.memory_mb) == (100.0, 12, "rgbd", 100.0)
    assert result.ate_se3_m is not None and result.ate_se3_m < 0.015
    assert "locate" in read_stage_times(tmp_path / "run")


def test_kitti_results_have_a_line_for_every_frame_of_the_recording(tmp_path: Path) -> None:
    source = Recorded(12)
    source.name = "kitti-00"
    del source.frames[5], source.frames[3]
    finish(tmp_path, source, plots=False)
    final, online = (read_kitti(tmp_path / name) for name in ("final.kitti", "online.kitti"))
    assert len(final) == len(online) == 12
    np.testing.assert_array_equal(final.positions_m[3], final.positions_m[2])  # the last that is known
    np.testing.assert_allclose(final.positions_m[0], 0.0)


def test_results_of_a_run_that_saw_nothing_can_be_written(tmp_path: Path) -> None:
    finish(tmp_path, Recorded(0))
    assert read_result(tmp_path).tracked_percent is None
    assert not (tmp_path / "map.png").exists()


class Stalled(Recorded):
    """A live camera that gives a few frames and then never answers again."""

    def __init__(self) -> None:
        super().__init__(5, live=True)
        self.never = threading.Event()

    def __iter__(self) -> Iterator[object]:  # type: ignore[override]
        yield from super().__iter__()
        self.never.wait(PATIENCE_S)


def test_a_camera_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slamfront.pipeline.loop._READER_S", 0.1)
    source = Stalled()
    start_s = time.monotonic()
    summary = run_on(source, THREADED, audience=Audience(Watching(closed_after=1), interval_s=0.0))
    source.never.set()
    assert len(summary.journal) >= 1
    assert time.monotonic() - start_s < PATIENCE_S


def test_a_map_that_could_not_be_joined_has_a_folder_of_its_own(tmp_path: Path) -> None:
    source = Recorded(18)
    for row in range(10, 18):  # a place that nobody has seen: the same one in a mirror
        frame = source.frames[row]
        depth_m = None if frame.depth_m is None else frame.depth_m[::-1].copy()
        source.frames[row] = replace(frame, image=frame.image[::-1].copy(), depth_m=depth_m)
    results = RunFolder(Claim(tmp_path / "run"))
    results.begin(INLINE, {})
    with results.sinks() as sinks:
        summary = run_on(source, replace(INLINE, maps=MapsConfig(new_after_s=0.1)), sinks=sinks)
    results.finish(summary, source, INLINE, None, plots=False)
    assert set(summary.maps) == {0, 1} and summary.world is summary.maps[0]
    assert dict(summary.others) == {1: summary.maps[1]}
    first, second = read_tum(tmp_path / "run" / "final.tum"), read_tum(tmp_path / "run" / "map-1" / "final.tum")
    assert len(first) == len(read_tum(tmp_path / "run" / "online.tum")) == 10
    assert len(second) == len(read_tum(tmp_path / "run" / "online-1.tum")) >= 3
    assert second.times_ns[0] > first.times_ns[-1]
    assert (tmp_path / "run" / "map-1" / "landmarks.ply").stat().st_size > 1000
    results.close()
    finish(tmp_path / "run", Recorded(3), plots=False)
    assert not (tmp_path / "run" / "map-1").exists() and not (tmp_path / "run" / "online-1.tum").exists()

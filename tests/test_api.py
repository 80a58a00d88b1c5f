from __future__ import annotations

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slamfront
from slamfront.config import BackendConfig
from slamfront.errors import FrameError, MapError
from slamfront.evaluation.trajectory import evaluate
from slamfront.geometry.camera import Camera
from slamfront.types import Frame
from tests.frames import COUNT, INLINE, THREADED, Recorded
from tests.tracking.worlds import clip

ROOT = Path(__file__).resolve().parents[1]


def push_all(slam: slamfront.Slam, frames: list[Frame]) -> list[slamfront.Tracked]:
    return [slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m) for frame in frames]


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_pushed_frames_are_followed(config: slamfront.RunConfig) -> None:
    source = Recorded()
    with slamfront.Slam(config, camera=source.camera, sensor="rgbd") as slam:
        assert (slam.pose, slam.state, slam.map(), len(slam.trajectory())) == (
            None,
            slamfront.State.INITIALIZING,
            None,
            0,
        )
        answers = push_all(slam, source.frames)
        pose = slam.pose
    assert pose is not None
    assert [answer.frame_id for answer in answers] == list(range(COUNT))
    last = answers[-1]
    assert last.state is slam.state is slamfront.State.TRACKING
    assert last.inliers > 50
    assert last.covariance is not None and np.linalg.eigvalsh(last.covariance).min() > 0
    assert evaluate(source.reference, slam.trajectory()).se3.translation_m.rmse < 0.015
    snapshot = slam.map()
    assert snapshot is not None and len(snapshot.landmarks_m) > 100 and len(snapshot.trajectory_m) == COUNT


def test_a_mask_leaves_out_what_stays_with_the_camera() -> None:
    source, rows = Recorded(), slice(180, 240)
    mask = np.full((source.camera.height, source.camera.width), 255, np.uint8)
    mask[rows] = 0
    texture = np.random.default_rng(0).integers(0, 256, (15, 80, 1), np.uint8).repeat(4, 0).repeat(4, 1)
    errors_m = []
    for covered in (False, True):
        with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
            for frame in source.frames:
                image, depth_m = frame.image.copy(), np.array(frame.depth_m)
                if covered:
                    image[rows], depth_m[rows] = texture, 0.7
                slam.push(image, frame.time_ns, depth_m=depth_m, mask=mask)
        errors_m.append(evaluate(source.reference, slam.trajectory()).se3.translation_m.rmse)
    assert errors_m[0] == errors_m[1] < 0.02


def test_a_mask_of_another_size_or_type_is_refused() -> None:
    source = Recorded(1)
    frame = source.frames[0]
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        for mask in (np.ones((10, 10), bool), np.ones(frame.image.shape[:2], np.float32)):
            with pytest.raises(slamfront.FrameError, match="mask"):
                slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m, mask=mask)  # type: ignore[arg-type]
        assert slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m).inliers > 50


def test_a_single_camera_is_followed_whatever_its_calibration_says_of_depth() -> None:
    source = Recorded(8)
    camera = replace(source.camera, readout_s=0.01, depth_delay_s=-0.02)
    with slamfront.Slam(INLINE, camera=camera, sensor="mono") as slam:
        answers = [slam.push(frame.image, frame.time_ns) for frame in source.frames]
    assert answers[-1].state in (slamfront.State.INITIALIZING, slamfront.State.TRACKING)


def test_keyframes_and_their_factors_are_delivered_as_they_arise() -> None:
    import gtsam

    source = Recorded()
    keyframes: list[slamfront.KeyFrame] = []
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    shares: list[int] = []

    def take(new_graph: gtsam.NonlinearFactorGraph, new_values: gtsam.Values) -> None:
        values.insert(new_values)  # throws where a key has come before
        graph.push_back(new_graph)
        shares.append(new_graph.size())
        known = set(values.keys())
        for index in range(new_graph.size()):
            assert set(new_graph.at(index).keys()) <= known, "a factor comes after the values of its keys"

    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        slam.on_keyframe(keyframes.append)
        slam.on_factors(take)
        push_all(slam, source.frames)
    assert len(keyframes) == len(shares) > 2
    assert min(shares) > 0
    poses = list(gtsam.utilities.allPose3s(values).keys())
    assert {keyframe.id for keyframe in keyframes} <= {gtsam.Symbol(key).index() for key in poses}

    first = min(poses)
    graph.addPriorPose3(first, values.atPose3(first), gtsam.noiseModel.Isotropic.Sigma(6, 1e-6))
    result = gtsam.LevenbergMarquardtOptimizer(graph, values).optimize()
    assert graph.error(result) < graph.error(values)
    moved = [np.linalg.norm(result.atPose3(k).translation() - values.atPose3(k).translation()) for k in poses]
    assert max(moved) < 0.02, "the graph agrees with the map"


def test_a_keyframe_that_is_handed_out_does_not_stop_the_map() -> None:
    source = Recorded()
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        slam.on_keyframe(lambda keyframe: None)
        answers = push_all(slam, source.frames)
    assert all(answer.reference_id is not None for answer in answers)


def test_a_guess_carries_on_frames_without_a_view() -> None:
    source = Recorded(20)
    assert source.reference is not None
    poses = [source.reference.pose(row) for row in range(len(source.reference))]
    nearest = [int(np.abs(source.reference.times_ns - frame.time_ns).argmin()) for frame in source.frames]
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        for row, frame in enumerate(source.frames):
            image = frame.image if row < 14 or row > 16 else np.zeros_like(frame.image)
            tracked = slam.push(image, frame.time_ns, depth_m=frame.depth_m, guess=poses[nearest[row]])
            dark = 14 <= row <= 16
            assert (tracked.state is slamfront.State.GUESSED) == dark == (slam.state is slamfront.State.GUESSED)
            assert tracked.covariance is not None and slam.pose is not None and bool(tracked.reason) == dark
        assert len(slam.trajectory()) == 20


@pytest.mark.parametrize(
    "guess",
    [
        np.eye(4),
        slamfront.Pose(np.eye(3), np.array([0.0, np.nan, 0.0])),
        slamfront.Pose(2 * np.eye(3), np.zeros(3)),
        slamfront.Pose(-np.eye(3), np.zeros(3)),
    ],
    ids=["matrix", "nan", "scaled", "mirrored"],
)
def test_a_guess_that_is_no_pose_is_refused(guess: Any) -> None:
    source = Recorded(1)
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        frame = source.frames[0]
        with pytest.raises(FrameError, match="frame 0: the guess must be a Pose"):
            slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m, guess=guess)
        slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m)


def test_a_wrong_frame_is_refused_and_the_next_one_is_taken() -> None:
    source = Recorded()
    frames = source.frames
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        push_all(slam, frames[:4])
        with pytest.raises(slamfront.FrameError, match="is not after"):
            slam.push(frames[2].image, frames[2].time_ns, depth_m=frames[2].depth_m)
        with pytest.raises(slamfront.FrameError, match="10x10"):
            slam.push(np.zeros((10, 10), np.uint8), frames[4].time_ns, depth_m=frames[4].depth_m)
        with pytest.raises(slamfront.FrameError, match="floating point"):
            slam.push(frames[4].image, frames[4].time_ns, depth_m=np.ones((240, 320), np.uint16))
        (answer,) = push_all(slam, frames[4:5])
    assert answer.state is slamfront.State.TRACKING
    assert len(slam.trajectory()) == 5


def test_a_frame_without_its_depth_is_tracked_as_one_cameras_would_be() -> None:
    source = Recorded()
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        answers = push_all(slam, source.frames[:6])
        answers += [slam.push(frame.image, frame.time_ns) for frame in source.frames[6:9]]
        answers += push_all(slam, source.frames[9:])
    assert {answer.state for answer in answers} == {slamfront.State.TRACKING}
    assert not any(answer.is_keyframe for answer in answers[6:9])
    assert len(slam.trajectory()) == COUNT
    # As with the depth of every frame
    assert evaluate(source.reference, slam.trajectory()).se3.translation_m.rmse < 0.015


def test_a_frame_without_its_right_image_is_tracked_as_one_cameras_would_be() -> None:
    seen = clip("room", "stereo", 12)
    with slamfront.Slam(INLINE, camera=seen.camera, sensor="stereo") as slam:
        for frame in seen.frames:
            right = None if 6 <= frame.id < 9 else frame.right
            assert slam.push(frame.image, frame.time_ns, right=right).state is slamfront.State.TRACKING
    assert len(slam.trajectory()) == 12


def test_a_first_frame_without_its_depth_begins_no_map() -> None:
    source = Recorded()
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        first = slam.push(source.frames[0].image, source.frames[0].time_ns)
        (second,) = push_all(slam, source.frames[1:2])
    assert first.state is slamfront.State.INITIALIZING and "depth" in first.reason
    assert second.state is slamfront.State.TRACKING


def test_pushed_arrays_stay_the_callers_and_depth_may_be_infinite() -> None:
    source = Recorded()
    frame = source.frames[0]
    image, depth_m = frame.image.copy(), frame.depth_m.copy()  # type: ignore[union-attr]
    depth_m[:20] = np.inf
    depth_m[20:40] = np.nan
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        slam.push(image, 0, depth_m=depth_m)
        image[:] = 0
        depth_m[:] = 0
        snapshot = slam.map()
    assert snapshot is not None and snapshot.image.any()
    assert np.isfinite(snapshot.landmarks_m).all()


def test_a_distorted_camera_is_undistorted() -> None:
    source = Recorded()
    distorted = replace(source.camera, model="radtan", distortion=(0.05, 0.0, 0.0, 0.0))
    with slamfront.Slam(INLINE, camera=distorted, sensor="rgbd") as slam:
        (answer,) = push_all(slam, source.frames[:1])
        assert slam.camera.model == "pinhole"
    assert answer.state is slamfront.State.TRACKING


def test_stereo_needs_a_baseline() -> None:
    camera = Camera("pinhole", 320, 240, 300.0, 300.0, 159.5, 119.5)
    with pytest.raises(slamfront.SlamfrontError, match="stereo needs"):
        slamfront.Slam(INLINE, camera=camera, sensor="stereo")


def test_closing_twice_is_fine_and_nothing_is_taken_afterwards() -> None:
    source = Recorded()
    slam = slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd")
    push_all(slam, source.frames[:2])
    slam.close()
    slam.close()
    with pytest.raises(slamfront.SlamfrontError, match="after close"):
        push_all(slam, source.frames[2:3])
    assert len(slam.trajectory()) == 2, "what came of it can still be asked for"


def test_an_error_of_the_caller_ends_the_backend_and_is_raised() -> None:
    source = Recorded()
    with pytest.raises(AttributeError), slamfront.Slam(THREADED, camera=source.camera, sensor="rgbd") as slam:
        push_all(slam, [None])  # type: ignore[list-item]


def test_odometry_alone_needs_no_backend() -> None:
    source = Recorded()
    config = replace(THREADED, backend=BackendConfig(kind="none"))
    with slamfront.Slam(config, camera=source.camera, sensor="rgbd") as slam:
        assert push_all(slam, source.frames)[-1].state is slamfront.State.TRACKING


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["embed.py", "synthetic:room?frames=5&width=240&grey=1&draft=1"])
    runpy.run_path(str(ROOT / "tools" / "embed.py"))
    assert "5 poses" in capsys.readouterr().out


def test_the_names_of_the_api_are_loaded_when_they_are_used() -> None:
    code = "import slamfront, sys; slamfront.State; assert 'cv2' not in sys.modules; print(len(dir(slamfront)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'Slamm'"):
        slamfront.Slamm  # noqa: B018


def test_a_saved_map_is_localised_in_by_the_next_program(tmp_path: Path) -> None:
    source, path = Recorded(), tmp_path / "room.map"
    config = replace(INLINE, save_map=path)
    slam = slamfront.Slam(config, camera=source.camera, sensor="rgbd")
    with pytest.raises(MapError, match="no map yet"):
        slam.save_map(tmp_path / "too-early.map")
    with slam:
        push_all(slam, source.frames)
    made = slam.trajectory()
    config = replace(INLINE, load_map=path, localize_only=True)
    with slamfront.Slam(config, camera=source.camera, sensor="rgbd") as slam:
        assert slam.state is slamfront.State.INITIALIZING
        answers = push_all(slam, source.frames)
    assert [answer.state for answer in answers[:2]] == [slamfront.State.RELOCALIZED, slamfront.State.TRACKING]
    found = slam.trajectory()
    assert len(found) == COUNT
    # In the same world, without any alignment, as near as either run is to the truth
    assert np.linalg.norm(found.positions_m - made.positions_m, axis=1).max() < 0.015


def test_a_reset_forgets_the_past_and_time_begins_anew() -> None:
    source = Recorded()
    with slamfront.Slam(INLINE, camera=source.camera, sensor="rgbd") as slam:
        push_all(slam, source.frames[:10])
        slam.reset()
        assert len(slam.trajectory()) == 0 and slam.pose is None and slam.map() is None
        assert slam.state is slamfront.State.INITIALIZING
        answers = push_all(slam, source.frames[:4])
        assert answers[0].is_keyframe and answers[-1].state is slamfront.State.TRACKING
        assert len(slam.trajectory()) == 4

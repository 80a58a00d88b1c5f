from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import CalibrationError, SourceError
from slamfront.geometry.camera import StereoRig
from slamfront.sources.euroc import open_euroc, read_imu
from tests.sources.datasets import make_euroc, picture, save


def test_stereo_recording_has_two_cameras_and_their_extrinsics(tmp_path: Path) -> None:
    source = open_euroc(make_euroc(tmp_path))
    frames = list(source)
    assert (source.sensor, source.length, len(frames)) == ("stereo", 5, 5)
    assert isinstance(source.calibration, StereoRig)
    np.testing.assert_allclose(
        source.calibration.right_from_left.matrix()[:3],
        np.eye(4)[:3] - [0, 0, 0, 1] * np.array([[0.1], [0], [0]]),
        atol=1e-12,
    )
    np.testing.assert_array_equal(frames[2].image, picture(2))
    assert frames[2].right is not None
    np.testing.assert_array_equal(frames[2].right, picture(102))


def test_reference_is_that_of_the_left_camera(tmp_path: Path) -> None:
    """The camera looks along the body's x axis, so its z axis is the world's x axis here."""
    source = open_euroc(make_euroc(tmp_path))
    assert source.reference is not None
    np.testing.assert_allclose(source.reference.pose(2).apply([0, 0, 1]), [3, 0, 0], atol=1e-12)


def test_left_image_without_right_one_comes_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_euroc(tmp_path) / "mav0" / "cam1" / "data.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(rows[:2] + rows[3:]))
    source = open_euroc(tmp_path)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.id for frame in frames if frame.right is None] == [1]
    assert (source.skipped, source.incomplete) == (0, 1)
    assert "frame 1 comes without its right image: there is none" in caplog.text


def test_right_image_that_is_damaged_or_of_another_size_is_left_out(tmp_path: Path) -> None:
    rights = sorted((make_euroc(tmp_path) / "mav0" / "cam1" / "data").iterdir())
    rights[1].write_bytes(rights[1].read_bytes()[:500])
    save(rights[3], picture(3, width=32))
    source = open_euroc(tmp_path)
    frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.id for frame in frames if frame.right is None] == [1, 3]
    assert (source.skipped, source.incomplete) == (0, 2)


def test_damaged_left_image_costs_the_frame(tmp_path: Path) -> None:
    lefts = sorted((make_euroc(tmp_path) / "mav0" / "cam0" / "data").iterdir())
    lefts[1].write_bytes(lefts[1].read_bytes()[:500])
    source = open_euroc(tmp_path)
    assert [frame.id for frame in source] == [0, 2, 3, 4]
    assert (source.skipped, source.incomplete) == (1, 0)


def test_recording_without_lists_is_read_by_the_names_of_its_images(tmp_path: Path) -> None:
    folder = make_euroc(tmp_path)
    for camera in ("cam0", "cam1"):
        (folder / "mav0" / camera / "data.csv").unlink()
    assert [frame.time_ns for frame in open_euroc(folder / "mav0")][1] == 1_400_000_000_050_000_000


def test_imu_samples_are_read_in_order(tmp_path: Path) -> None:
    imu = read_imu(make_euroc(tmp_path))
    assert imu.times_ns.tolist() == [100, 200]
    np.testing.assert_array_equal(imu.angular_velocities_rad_s[0], [1, 2, 3])
    np.testing.assert_array_equal(imu.accelerations_m_s2[1], [4, 5, 9.81])
    assert not imu.times_ns.flags.writeable


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="mav0/cam0/data"):
        open_euroc(tmp_path)
    folder = make_euroc(tmp_path)
    (folder / "mav0" / "cam0" / "sensor.yaml").write_text("%YAML:1.0\nresolution: [64, 48]\n")
    with pytest.raises(CalibrationError, match=r"sensor\.yaml"):
        open_euroc(folder)


def test_real_recording_is_read_with_its_imu(data: Path) -> None:
    source = open_euroc(data / "euroc" / "V1_01_easy")
    assert (source.sensor, source.length, source.reference) == ("stereo", 20, None)
    frame = next(iter(source))
    assert (frame.time_ns, frame.image.shape) == (1403715273262142976, (480, 752))
    imu = read_imu(data / "euroc" / "V1_01_easy")
    assert len(imu) == 193
    # The drone stands still: it feels gravity and hardly turns.
    assert np.linalg.norm(imu.accelerations_m_s2, axis=1).mean() == pytest.approx(9.81, abs=0.1)
    assert np.abs(imu.angular_velocities_rad_s.mean(axis=0)).max() < 0.1

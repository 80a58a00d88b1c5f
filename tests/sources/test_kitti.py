from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from slamfront.calibration import write_calibration
from slamfront.errors import SourceError
from slamfront.sources.kitti import open_kitti
from tests.sources.datasets import CAMERA, make_kitti, picture, save


def test_stereo_frames_and_reference_belong_together(tmp_path: Path) -> None:
    source = open_kitti(make_kitti(tmp_path))
    frames = list(source)
    assert (source.sensor, source.name, source.length) == ("stereo", "kitti-00", 5)
    assert source.camera.baseline_m == pytest.approx(0.5)
    np.testing.assert_array_equal(frames[2].image, picture(2))
    assert frames[2].right is not None
    np.testing.assert_array_equal(frames[2].right, picture(102))
    assert source.reference is not None
    assert source.reference.times_ns.tolist() == [frame.time_ns for frame in frames] == [n * 10**8 for n in range(5)]
    np.testing.assert_allclose(source.reference.pose(3).translation_m, [0, 0, 3])


def test_sequence_is_found_from_its_root_and_by_its_number(tmp_path: Path) -> None:
    make_kitti(tmp_path, "07")
    assert open_kitti(tmp_path).name == open_kitti(tmp_path / "07").name == "kitti-07"
    make_kitti(tmp_path, "08")
    assert open_kitti(tmp_path / "08").name == "kitti-08"
    with pytest.raises(SourceError, match="07, 08"):
        open_kitti(tmp_path)


def test_stereo_ends_with_the_right_images_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_kitti(tmp_path, right=3)
    with caplog.at_level(logging.WARNING):
        source = open_kitti(folder)
    assert "3 of 5 frames" in caplog.text
    assert [frame.id for frame in source] == [0, 1, 2]
    assert source.skipped == 0
    assert len(list(open_kitti(folder, "mono"))) == 5


def spoil(path: Path, how: str) -> None:
    """Remove an image, cut its file off, or write one of another size in its place."""
    if how == "missing":
        path.unlink()
    elif how == "damaged":
        path.write_bytes(path.read_bytes()[:500])
    else:
        save(path, picture(2, width=32))


@pytest.mark.parametrize("how", ["missing", "damaged", "small"])
def test_a_frame_comes_without_a_right_image_that_cannot_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    folder = make_kitti(tmp_path)
    spoil(folder / "image_1" / "000002.png", how)
    source = open_kitti(folder)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.id for frame in frames if frame.right is None] == [2]
    assert (source.skipped, source.incomplete) == (0, 1)
    (record,) = caplog.records
    assert "frame 2 comes without its right image" in record.getMessage()


@pytest.mark.parametrize("how", ["missing", "damaged", "small"])
def test_a_left_image_that_cannot_be_used_costs_the_frame(tmp_path: Path, how: str) -> None:
    folder = make_kitti(tmp_path)
    spoil(folder / "image_0" / "000002.png", how)
    source = open_kitti(folder)
    assert [frame.id for frame in source] == [0, 1, 3, 4]
    # Without a left image there is no frame in the list, of which one could be skipped
    assert source.skipped == (how != "missing")


def test_one_camera_of_a_pair_lacks_nothing(tmp_path: Path) -> None:
    source = open_kitti(make_kitti(tmp_path, right=3), "mono")
    assert len(list(source)) == 5
    assert source.incomplete == 0


def test_without_right_images_the_sequence_is_mono(tmp_path: Path) -> None:
    source = open_kitti(make_kitti(tmp_path, right=0))
    assert (source.sensor, source.camera.baseline_m) == ("mono", None)


def test_reference_of_the_colour_pair_is_moved_to_the_colour_camera(tmp_path: Path) -> None:
    """Camera 2 of this rig has P[0,3] = +3 px m at f = 60 px: it stands 0.05 m to the left of camera 0."""
    source = open_kitti(make_kitti(tmp_path, first_camera=2))
    assert source.reference is not None
    np.testing.assert_allclose(source.reference.pose(0).translation_m, [-0.05, 0, 0], atol=1e-12)
    assert source.camera.baseline_m == pytest.approx(0.5)


def test_calibration_yaml_in_the_folder_is_honoured(tmp_path: Path) -> None:
    folder = make_kitti(tmp_path)
    write_calibration(folder / "calibration.yaml", CAMERA)
    assert open_kitti(folder, "mono").camera == CAMERA


def test_real_sequence_is_read_mono_and_stereo(data: Path) -> None:
    sequence = data / "kitti" / "sequences" / "00"
    mono, stereo = open_kitti(sequence, "mono"), open_kitti(sequence)
    assert (mono.length, stereo.length) == (150, 100)
    assert stereo.camera.baseline_m == pytest.approx(386.1448 / 718.856)
    frames = [frame for frame, _ in zip(stereo, range(2))]
    assert [frame.time_ns for frame in frames] == [0, 103735900]
    assert frames[0].image.shape == (376, 1241)
    assert mono.reference is not None
    np.testing.assert_allclose(mono.reference.pose(1).translation_m, [-0.04690294, -0.02839928, 0.8586941], atol=1e-9)

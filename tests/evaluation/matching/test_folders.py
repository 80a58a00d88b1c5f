"""Folders of image pairs: which kinds there are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import FrameError, SlamfrontError, SourceError
from slamfront.evaluation.matching.folders import open_pairs
from slamfront.evaluation.matching.homographies import PhotographProtocol
from slamfront.evaluation.matching.metrics import warp_points

PROTOCOL = PhotographProtocol(count=2, short_side_px=60)
SHIFT = np.array([[1.0, 0, 4], [0, 1, -2], [0, 0, 1]])


def write_image(path: Path, seed: int = 0, width: int = 120) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (90, width, 3)).astype(np.uint8)
    assert cv2.imwrite(str(path), cv2.GaussianBlur(image, (0, 0), 2))


def write_sequence(folder: Path, image: str = "{}.ppm", homography: str = "H_1_{}", count: int = 3) -> Path:
    for number in range(1, count + 1):
        write_image(folder / image.format(number), number)
        if number > 1:
            np.savetxt(folder / homography.format(number), SHIFT)
    return folder


def test_hpatches_tells_light_from_viewpoint_by_its_folders(tmp_path: Path) -> None:
    write_sequence(tmp_path / "i_lamp", count=6)
    write_sequence(tmp_path / "v_wall", count=6)
    opened = open_pairs(tmp_path, PROTOCOL)
    assert opened.kind == "hpatches"
    assert [reference.name for reference in opened.references][:2] == ["i_lamp 1-2", "i_lamp 1-3"]
    assert [reference.group for reference in opened.references] == ["illumination"] * 5 + ["viewpoint"] * 5
    pair = opened.references[7].load()
    assert pair.first.shape == pair.second.shape == (90, 120) and pair.usable is None
    np.testing.assert_array_equal(pair.second_from_first, SHIFT)


@pytest.mark.parametrize(("image", "homography"), [("{}.png", "H_1_{}"), ("img{}.ppm", "H1to{}p")])
def test_a_vgg_folder_is_read_alone_or_among_others(image: str, homography: str, tmp_path: Path) -> None:
    write_sequence(tmp_path / "graf", image, homography)
    write_sequence(tmp_path / "leuven", image, homography)
    alone, several = open_pairs(tmp_path / "graf", PROTOCOL), open_pairs(tmp_path, PROTOCOL)
    assert alone.kind == several.kind == "vgg"
    assert [reference.name for reference in alone.references] == ["graf 1-2", "graf 1-3"]
    assert [reference.group for reference in several.references] == ["viewpoint"] * 2 + ["illumination"] * 2


def test_pairs_of_a_sequence_share_their_first_image(tmp_path: Path) -> None:
    references = open_pairs(write_sequence(tmp_path / "v_a"), PROTOCOL).references
    assert references[0].load().first is references[1].load().first


def test_resampled_images_keep_their_homography(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "graf")
    write_image(folder / "2.ppm", 5, width=240)  # another size than the first image's
    pair = open_pairs(folder, PROTOCOL, short_side_px=45).references[0].load()
    assert (pair.first.shape, pair.second.shape) == ((45, 60), (45, 120))
    # Half the size, with the centre of the first pixel half a pixel nearer to the edge
    full = np.array([[20.0, 30.0]])
    expected = (warp_points(SHIFT, full) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(warp_points(pair.second_from_first, (full + 0.5) / 2 - 0.5), expected, atol=1e-9)


def test_photographs_become_pairs_the_first_by_name(tmp_path: Path) -> None:
    for name in ("c.jpg", "a.jpg", "b.png", ".hidden.jpg"):
        write_image(tmp_path / name)
    opened = open_pairs(tmp_path, PROTOCOL)
    assert opened.kind == "photographs"
    assert [(reference.name, reference.group) for reference in opened.references] == [
        ("a.jpg", "viewpoint and illumination"),
        ("b.png", "viewpoint and illumination"),
    ]
    assert opened.references[1].load().first.shape == (60, 80)
    apart = open_pairs(tmp_path, PROTOCOL, apart=True)
    assert {reference.group for reference in apart.references} == {
        "viewpoint and illumination",
        "viewpoint",
        "illumination",
    }


def test_a_folder_of_none_of_the_kinds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, told in ((tmp_path / "nowhere", "does not exist"), (tmp_path / "empty", "neither")):
        with pytest.raises(SourceError, match=told):
            open_pairs(folder, PROTOCOL)


def test_a_missing_homography_or_image_is_named(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "v_wall")
    (folder / "H_1_3").unlink()
    with pytest.raises(SourceError, match=r"H_1_3 is missing: 3\.ppm"):
        open_pairs(tmp_path, PROTOCOL)
    folder = write_sequence(tmp_path / "v_wall")
    (folder / "1.ppm").unlink()
    with pytest.raises(SourceError, match="image 1 is missing"):
        open_pairs(tmp_path, PROTOCOL)
    (tmp_path / "i_alone").mkdir()
    write_image(tmp_path / "i_alone" / "1.ppm")
    with pytest.raises(SourceError, match="but one image"):
        open_pairs(tmp_path, PROTOCOL)


@pytest.mark.parametrize("text", ["1 2 3", "1 0 0 0 1 0 0 0 x", "0 0 0 0 0 0 0 0 0", "nan 0 0 0 1 0 0 0 1", "\xff"])
def test_a_file_that_is_no_homography_is_named(text: str, tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "graf")
    (folder / "H_1_2").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match="H_1_2(: it is not a text file| must hold the 3x3 numbers)"):
        open_pairs(folder, PROTOCOL).references[0].load()


@pytest.mark.parametrize("name", ["graf/2.png", "a.jpg"])
def test_a_damaged_image_is_named(name: str, tmp_path: Path) -> None:
    write_sequence(tmp_path / "graf", "{}.png")
    write_image(tmp_path / "a.jpg")
    damaged = tmp_path / name
    damaged.write_bytes(damaged.read_bytes()[:200])
    if damaged.parent == tmp_path:
        for path in (tmp_path / "graf").iterdir():
            path.unlink()
    with pytest.raises(FrameError, match=damaged.name) as error:
        open_pairs(damaged.parent, PROTOCOL).references[0].load()
    assert isinstance(error.value, SlamfrontError)

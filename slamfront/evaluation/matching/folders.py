"""Folders of images with homographies between them, or of photographs that such pairs are made of.

HPatches    folders i_* (light changes) and v_* (viewpoint changes), each with 1.ppm .. 6.ppm and H_1_2 .. H_1_6
VGG         one such folder, or several, by any name: 1.png .. or img1.ppm .., and H_1_2 .. or H1to2p ..
photographs images, of which `homographies` makes pairs
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slamfront.errors import SourceError, refused_as
from slamfront.evaluation.matching.homographies import (
    Group,
    HomographyPair,
    PhotographProtocol,
    photograph_pair,
    resampled,
    resampling,
    scaled_pair,
    turned_pair,
)
from slamfront.evaluation.matching.pairs import PairReference
from slamfront.image_files import IMAGE_SUFFIXES, read_image
from slamfront.imaging import grey
from slamfront.reading import MOST_YAML_BYTES, read_text
from slamfront.types import Image

_HPATCHES = re.compile(r"[iv]_.+")
_IMAGE_NAME = re.compile(r"(?:img)?([1-9]\d*)")
_HOMOGRAPHY_NAMES = ("H_1_{}", "H1to{}p")
_OXFORD_GROUPS: dict[str, Group] = {
    "leuven": "illumination",
    "bikes": "blur",
    "trees": "blur",
    "ubc": "compression",
}
_APART: tuple[Group, ...] = ("viewpoint and illumination", "viewpoint", "illumination")


@dataclass(frozen=True, slots=True)
class Ladder:
    """Steps of size, or of turning, in which alone the second image of a photograph's pair differs from the first."""

    scales: tuple[float, ...] = ()
    rotations_deg: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.scales or self.rotations_deg)

    def describe(self, protocol: PhotographProtocol) -> str:
        """Return what the pairs are in sentences."""
        return (
            f"Photographs at a short side of {protocol.short_side_px} px (resampled by area), the first "
            f"{protocol.count} by name, and the same resampled by area to a share of that size, or turned about the "
            f"centre: black beyond the photograph, and keypoints within {protocol.void_px} px of that do not count. "
            "Nothing else changes."
        )

    def references(self, path: Path, protocol: PhotographProtocol) -> list[PairReference[HomographyPair]]:
        """Return the pairs of one photograph."""
        makers = {f"scale {scale:g}": partial(scaled_pair, scale=scale) for scale in self.scales}
        makers |= {
            f"turned by {turn:g} degrees": partial(turned_pair, rotation_deg=turn) for turn in self.rotations_deg
        }
        return [
            PairReference(path.name, group, partial(_load_step, path, make, protocol)) for group, make in makers.items()
        ]


@dataclass(frozen=True, slots=True)
class PairFolder:
    """The pairs of images that a folder gives, and what kind of folder it is."""

    kind: Literal["hpatches", "vgg", "photographs"]
    references: tuple[PairReference[HomographyPair], ...]
    ladder: Ladder | None = None

    def describe(self, protocol: PhotographProtocol, short_side_px: int | None) -> str:
        """Return where the pairs are from, in sentences, given what they were opened with."""
        if self.ladder:
            return self.ladder.describe(protocol)
        if self.kind == "photographs":
            return protocol.describe()
        size = "as they are" if short_side_px is None else f"at a short side of {short_side_px} px"
        return f"{self.kind}: images {size}."


def open_pairs(
    folder: Path,
    protocol: PhotographProtocol,
    short_side_px: int | None = None,
    apart: bool = False,
    ladder: Ladder | None = None,
) -> PairFolder:
    """Return the pairs of a folder, whose kind is told from what lies in it.

    protocol        how photographs become pairs
    short_side_px   resample the images of HPatches and VGG by area to this short side; None leaves them as they are
    apart           make pairs with the viewpoint or the light of a photograph changed alone as well
    ladder          make pairs of photographs in these steps of size and turning instead

    Raises SourceError when there is no such folder, it holds nothing of the kind, or a homography is missing; or where
    a ladder is wanted of a folder whose images have homographies. Images
    are read when a pair is loaded, which raises FrameError for a damaged one.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist")
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    hpatches = [path for path in inner if _HPATCHES.fullmatch(path.name)]
    sequences = [path for path in [folder, *inner] if _has_homographies(path)]
    if ladder and (hpatches or sequences):
        raise SourceError(f"{folder}: scales and rotations are those of photographs, and these have homographies")
    if hpatches:
        return PairFolder("hpatches", _sequences(hpatches, short_side_px))
    if sequences:
        return PairFolder("vgg", _sequences(sequences, short_side_px))
    photographs = _photographs(folder)[: protocol.count]
    if not photographs:
        raise SourceError(
            f"{folder} holds neither i_*/v_* folders (HPatches), nor images with H_1_2 or H1to2p (VGG), nor photographs"
        )
    if ladder:
        steps = [step for path in photographs for step in ladder.references(path, protocol)]
        return PairFolder("photographs", tuple(steps), ladder)
    return PairFolder("photographs", _photograph_references(photographs, protocol, _APART if apart else _APART[:1]))


def _sequences(folders: Sequence[Path], short_side_px: int | None) -> tuple[PairReference[HomographyPair], ...]:
    reader = _Images(short_side_px)
    return tuple(reference for folder in folders for reference in _sequence(folder, reader))


def _sequence(folder: Path, reader: _Images) -> list[PairReference[HomographyPair]]:
    """Return the pairs (1, k) of a folder; every image but the first needs its homography, and the other way round."""
    images = {int(found[1]): path for path in _photographs(folder) if (found := _IMAGE_NAME.fullmatch(path.stem))}
    homographies = {number: path for number in range(2, 100) if (path := _homography_file(folder, number)) is not None}
    for number in sorted({1, *homographies} - set(images)):
        raise SourceError(
            f"{folder}: image {number} is missing (such as {number}.ppm, {number}.png or img{number}.ppm)"
        )
    for number in sorted(set(images) - {1} - set(homographies)):
        raise SourceError(f"{folder / f'H_1_{number}'} is missing: {images[number].name} needs its homography")
    if not homographies:
        raise SourceError(f"{folder} holds but one image: a pair needs two")
    return [
        PairReference(
            f"{folder.resolve().name} 1-{number}",
            _group(folder.resolve().name),
            partial(reader.pair, images[1], images[number], path),
        )
        for number, path in sorted(homographies.items())
    ]


def _group(name: str) -> Group:
    return "illumination" if name.startswith("i_") else _OXFORD_GROUPS.get(name.lower(), "viewpoint")


def _has_homographies(folder: Path) -> bool:
    return any(_homography_file(folder, number) is not None for number in range(2, 10))


def _homography_file(folder: Path, number: int) -> Path | None:
    paths = (folder / name.format(number) for name in _HOMOGRAPHY_NAMES)
    return next((path for path in paths if path.is_file()), None)


class _Images:
    """Reads grey images in the wanted size; the last first image is kept, so that the pairs of a sequence share it."""

    def __init__(self, short_side_px: int | None) -> None:
        self._short_side_px = short_side_px
        self._kept: tuple[Path, Image, NDArray[np.float64]] | None = None

    def pair(self, first: Path, second: Path, homography: Path) -> HomographyPair:
        """Return the pair of two files, with the homography of a third one."""
        if self._kept is None or self._kept[0] != first:
            self._kept = (first, *self._read(first))
        _, first_image, small_from_first = self._kept
        second_image, small_from_second = self._read(second)
        second_from_first = small_from_second @ _read_homography(homography) @ np.linalg.inv(small_from_first)
        return HomographyPair(first_image, second_image, second_from_first)

    def _read(self, path: Path) -> tuple[Image, NDArray[np.float64]]:
        """Return an image, and the homography from the file's pixels to its own."""
        image = grey(read_image(path))
        if self._short_side_px is None:
            return image, np.eye(3)
        small = resampled(image, self._short_side_px)
        return small, resampling(image, small)


def _read_homography(path: Path) -> NDArray[np.float64]:
    text = read_text(path, SourceError, MOST_YAML_BYTES)
    with refused_as(SourceError, f"{path} must hold the 3x3 numbers of a homography", told=False):
        values = np.array(text.split(), np.float64)
    if values.size != 9 or not np.isfinite(values).all() or abs(np.linalg.det(values.reshape(3, 3))) < 1e-12:
        raise SourceError(f"{path} must hold the 3x3 numbers of a homography that can be inverted")
    return values.reshape(3, 3)


def _photographs(folder: Path) -> list[Path]:
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)


def _photograph_references(
    photographs: Sequence[Path], protocol: PhotographProtocol, groups: Sequence[Group]
) -> tuple[PairReference[HomographyPair], ...]:
    return tuple(
        PairReference(path.name, group, partial(_load_photograph, path, protocol, index, group))
        for index, path in enumerate(photographs)
        for group in groups
    )


def _load_photograph(path: Path, protocol: PhotographProtocol, index: int, group: Group) -> HomographyPair:
    return photograph_pair(grey(read_image(path)), protocol, index, group)


def _load_step(
    path: Path, make: Callable[[Image, PhotographProtocol], HomographyPair], protocol: PhotographProtocol
) -> HomographyPair:
    return make(grey(read_image(path)), protocol)

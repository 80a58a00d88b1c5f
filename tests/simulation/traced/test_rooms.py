from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import SourceError
from slamfront.simulation.traced import furniture
from slamfront.simulation.traced.rooms import room
from slamfront.simulation.traced.streets import street
from slamfront.simulation.traced.surfaces import Palette
from slamfront.simulation.traced.worlds import TracedWorld
from slamfront.types import FloatArray

World = Callable[[int], TracedWorld]
MAKERS = sorted(
    {*furniture.AGAINST_WALLS, *furniture.IN_THE_MIDDLE, *furniture.ON_TOP, *furniture.ON_THE_FLOOR},
    key=lambda make: make.__name__,
)


def bounds(world: TracedWorld) -> FloatArray:
    corners = np.concatenate([piece.mesh.vertices_m for piece in world.pieces])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


@pytest.mark.parametrize("make", MAKERS)
def test_furniture_stands_on_the_floor_within_its_size(make: furniture.Maker) -> None:
    for seed in range(8):
        piece = make(Palette(np.random.default_rng(seed)))
        corners = np.concatenate([part.mesh.vertices_m for part in piece.pieces])
        assert np.isfinite(corners).all()
        assert corners[:, 2].min() > -0.02
        # Leaves and shades may hang over a little.
        assert (np.abs(corners[:, :2]).max(axis=0) < np.array(piece.size_m[:2]) / 2 + 0.25).all()
        assert corners[:, 2].max() < piece.size_m[2] + 0.5


@pytest.mark.parametrize("make", [room, street])
def test_the_same_seed_gives_the_same_world_and_another_seed_another(make: World) -> None:
    first, again, other = make(3), make(3), make(4)
    np.testing.assert_array_equal(bounds(first), bounds(again))
    for one, two in zip(first.pieces, again.pieces, strict=True):
        np.testing.assert_array_equal(one.surface.picture, two.surface.picture)
        np.testing.assert_array_equal(one.mesh.vertices_m, two.mesh.vertices_m)
    assert not np.array_equal(first.high_m, other.high_m)


@pytest.mark.parametrize("make", [room, street])
def test_worlds_are_lit_and_have_room_for_cameras(make: World) -> None:
    for seed in range(6):
        world, rng = make(seed), np.random.default_rng(seed)
        assert any(piece.surface.glow > 0 for piece in world.pieces)
        places = np.array([world.place(rng) for _ in range(20)])
        free = np.array([world.free(place) for place in places])
        assert free.mean() > 0.8
        assert ((places[free] > world.low_m) & (places[free] < world.high_m)).all()


def test_furniture_does_not_overlap() -> None:
    boxes = room(1).obstacles_m
    for row, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:row]:
            assert not ((low < other_high - 1e-9) & (high > other_low + 1e-9)).all()


def test_photographs_hang_in_rooms(tmp_path: Path) -> None:
    picture = np.full((300, 400), 77, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    shown = [piece.surface.picture for piece in room(0, (tmp_path / "a.png",)).pieces]
    assert any(np.all(np.abs(image.astype(int) - 77) <= 1) and image.shape[0] > 20 for image in shown)
    with pytest.raises(SourceError, match="is no readable image"):
        Palette(np.random.default_rng(0), (tmp_path / "none.png",)).outlook((1.0, 1.0), 1.0)

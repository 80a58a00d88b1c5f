from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import OutputError, SourceError
from slamfront.simulation.traced.rooms import room
from slamfront.simulation.traced.tracer import Tracer
from slamfront.training.data.parts import Part, PartConfig, is_made, make_parts
from slamfront.training.data.rendered_file import RenderedPairs
from slamfront.training.data.views import ViewConfig, draw_views, exposed, marked

SMALL = PartConfig(worlds=1, streets=0.0, view=ViewConfig(width=96, height=72, views=5, pairs=4, samples=1))


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    pytest.importorskip("mitsuba")
    try:
        return Tracer(room(0))
    except SourceError as error:
        pytest.skip(str(error))


def test_views_make_pairs_that_share_what_is_asked_for(tracer: Tracer) -> None:
    config = ViewConfig(width=96, height=72, views=8, pairs=12, samples=1)
    views, pairs = draw_views(room(0), tracer, np.random.default_rng(1), config)
    assert 2 <= len(views) <= 8 and 0 < len(pairs) <= 13
    assert {row for pair in pairs for row in pair} == set(range(len(views)))
    again, rows = draw_views(room(0), tracer, np.random.default_rng(1), config)
    assert rows == pairs
    for one, other in zip(views, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.inverse_depth, other.inverse_depth)
    assert all(view.image.std() > 3 for view in views)


@pytest.mark.slow
def test_parts_are_made_by_processes_and_gone_on_with(tracer: Tracer, tmp_path: Path) -> None:
    made = list(make_parts(tmp_path / "two", None, 2, 7, SMALL, workers=2))
    assert sorted(part.path.name for part, _ in made) == ["part-0000.npz", "part-0001.npz"]
    assert sum(count for _, count in made) == len(RenderedPairs(tmp_path / "two"))
    assert list(make_parts(tmp_path / "two", None, 2, 7, SMALL)) == []
    # A part that is not whole, or was made in another way, is made again, and is the same.
    whole = (tmp_path / "two" / "part-0001.npz").read_bytes()
    (tmp_path / "two" / "part-0001.npz").write_bytes(whole[: len(whole) // 2])
    ((part, _),) = make_parts(tmp_path / "two", None, 2, 7, SMALL)
    assert part.number == 1 and is_made(part)
    with np.load(part.path) as again:
        np.testing.assert_array_equal(again["images"], np.load(part.path)["images"])
    assert not is_made(Part(part.path, 1, 8, None, SMALL))


def test_folders_that_cannot_be_used_are_named_before_anything_is_rendered(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is no folder"):
        list(make_parts(tmp_path / "out", tmp_path / "none", 1, 0, SMALL))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        list(make_parts(tmp_path / "file" / "out", None, 1, 0, SMALL))


def test_bare_walls_are_not_marked_and_patterns_are() -> None:
    assert marked(np.full((64, 64), 0.5, np.float32)) == 0
    half = np.full((64, 64), 0.5, np.float32)
    half[:, :32] = np.random.default_rng(0).uniform(0.1, 0.9, (64, 32))
    assert marked(half) == 0.5


def test_exposure_uses_the_range_of_a_picture() -> None:
    light = np.random.default_rng(0).gamma(2.0, 0.01, (60, 80)).astype(np.float32)
    for seed in range(10):
        image = exposed(light, np.random.default_rng(seed))
        assert 40 < np.median(image) < 200 and image.max() > 150

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slamfront.errors import TrainingError
from slamfront.training.data.shape_canvas import Canvas, coverage
from slamfront.training.data.shape_noise import DEFAULT_EFFECTS, corrupt
from slamfront.training.data.shapes import KINDS, MIN_SEPARATION_PX, ShapeImage, draw_shapes

WITH_CORNERS = [kind for kind in KINDS if kind not in ("ellipses", "noise")]


def draw_many(kind: str, count: int = 25, clean: bool = True) -> list[ShapeImage]:
    rng = np.random.default_rng(7)
    return [draw_shapes(rng, kind=kind, effects=None if clean else DEFAULT_EFFECTS) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_image(kind: str) -> None:
    for first, second in zip(draw_many(kind, 3, clean=False), draw_many(kind, 3, clean=False)):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.corners_xy, second.corners_xy)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_its_promises(kind: str) -> None:
    shapes = draw_many(kind, clean=False)
    for shape in shapes:
        assert shape.kind == kind
        assert shape.image.dtype == np.uint8 and shape.image.shape == (120, 160)
        assert shape.corners_xy.dtype == np.float32 and shape.corners_xy.shape[1:] == (2,)
        assert (shape.corners_xy >= 0).all() and (shape.corners_xy <= (159, 119)).all()
    assert any(len(shape.corners_xy) for shape in shapes) == (kind in WITH_CORNERS)


@pytest.mark.parametrize("size", [(64, 48), (121, 87), (320, 240)])
def test_images_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    for kind in KINDS:
        assert draw_shapes(rng, size, kind).image.shape == (size[1], size[0])


# cornerSubPix takes gradients over 3 pixels, which draws L and Y corners inwards by a quarter of a pixel; where cells
# of a checkerboard meet the pull cancels out. Outlines lie in all directions, so on average nothing is moved.
@pytest.mark.parametrize(
    ("kind", "median_px", "most_px"),
    [("polygon", 0.3, 0.5), ("polygons", 0.3, 0.6), ("checkerboard", 0.12, 0.5), ("cube", 0.3, 0.7)],
)
def test_corners_lie_where_the_image_has_corners(kind: str, median_px: float, most_px: float) -> None:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 50, 0.001)
    moves = []
    for shape in draw_many(kind, 80):
        inner = shape.corners_xy[((shape.corners_xy > 4) & (shape.corners_xy < (155, 115))).all(axis=1)]
        if len(inner):
            refined = cv2.cornerSubPix(shape.image, inner.reshape(-1, 1, 2).copy(), (3, 3), (-1, -1), criteria)
            moves.append(refined[:, 0] - inner)
    moved = np.concatenate(moves)
    distances = np.linalg.norm(moved, axis=1)
    assert np.median(distances) < median_px
    assert np.quantile(distances, 0.9) < most_px
    # Five standard errors.
    assert (np.abs(moved.mean(axis=0)) < 5 * moved.std(axis=0) / np.sqrt(len(moved))).all()


@pytest.mark.parametrize("kind", WITH_CORNERS)
def test_every_corner_can_be_seen(kind: str) -> None:
    for shape in draw_many(kind):
        for x, y in np.rint(shape.corners_xy).astype(int):
            window = shape.image[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
            # A grey level is lost to rounding.
            assert np.ptp(window.astype(int)) >= Canvas.MIN_CONTRAST - 1


@pytest.mark.parametrize("kind", ["lines", "polygons", "cube", "checkerboard", "stripes"])
def test_corners_keep_apart(kind: str) -> None:
    for shape in draw_many(kind):
        distances = np.linalg.norm(shape.corners_xy[:, None] - shape.corners_xy, axis=2)
        np.fill_diagonal(distances, np.inf)
        # Corners of different shapes stay out of each other's window of 9 x 9 pixels.
        assert distances.min(initial=np.inf) > min(4.0, MIN_SEPARATION_PX - 0.1)


def test_a_corner_that_is_painted_over_is_no_corner() -> None:
    canvas = Canvas(np.random.default_rng(0), (80, 60))
    triangle = np.array([[20.0, 20.0], [40.0, 22.0], [30.0, 40.0]])
    cover = np.array([[10.0, 10.0], [60.0, 10.0], [60.0, 30.0], [10.0, 30.0]])
    assert canvas.paint(coverage(triangle, canvas.size), triangle)
    assert canvas.paint(coverage(cover, canvas.size), cover)
    _, corners = canvas.finish()
    np.testing.assert_allclose(corners, [triangle[2], *cover])


def test_coverage_is_the_area_of_the_polygon() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
        outline = rng.uniform(28, 32, 2) + 20 * np.column_stack([np.cos(angles), np.sin(angles)])
        share = coverage(outline, (60, 60))
        (x0, y0), (x1, y1) = outline.T, np.roll(outline, -1, axis=0).T
        cross = x0 * y1 - x1 * y0
        area = cross.sum() / 2
        np.testing.assert_allclose(share.sum(), area, atol=1e-3 * area)
        y, x = np.mgrid[:60, :60]
        centroid = np.array([((x0 + x1) * cross).sum(), ((y0 + y1) * cross).sum()]) / (6 * area)
        # Half covered pixels count at their centres: an edge is off by a twelfth of a pixel there at most.
        np.testing.assert_allclose([(share * x).sum() / area, (share * y).sum() / area], centroid, atol=0.02)


def test_noise_grows_from_nothing_to_everything() -> None:
    image = draw_shapes(np.random.default_rng(5), kind="checkerboard", effects=None).image
    np.testing.assert_array_equal(corrupt(image, np.random.default_rng(0), 0.0), image)
    likeness = [
        np.corrcoef(image.ravel(), corrupt(image, np.random.default_rng(0), strength).ravel())[0, 1]
        for strength in (0.0, 0.5, 1.0, 1.5, 2.0)
    ]
    assert (np.diff(likeness) < 0).all()
    # 19200 pixels of independent noise correlate by chance by about 1 / sqrt(19200).
    assert abs(likeness[-1]) < 0.05


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(TrainingError, match="'circles' are unknown: use one of lines, polygon"):
        draw_shapes(np.random.default_rng(0), kind="circles")

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from slamfront.config import AlignmentConfig
from slamfront.patches import PATCH_SIZE, align_matches, align_patches, cut_patches, warps_of_matches

SHAPE = (120, 160)
# The accuracy that matters: a tenth of the sigma that aligned keypoints are given
TOLERANCE_PX = 0.05
CENTRES = np.stack(np.meshgrid(np.arange(30.0, 135.0, 15.0), np.arange(30.0, 95.0, 15.0)), -1).reshape(-1, 2)
SAME = np.broadcast_to(np.eye(2), (len(CENTRES), 2, 2))

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]


def texture(seed: int = 0) -> Texture:
    """Return a smooth function of x and y with values from 20 to 235, of waves 7 px long and longer."""
    rng = np.random.default_rng(seed)
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 12))
    wave = 2 * np.pi / rng.uniform(7, 25, 12)
    kx, ky = wave * np.cos(angle), wave * np.sin(angle)

    def value(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 127.5 + 107.5 * np.mean(np.sin(kx * x[..., None] + ky * y[..., None] + phase), -1) * 2.0

    return value


def sampled(value: Texture, warp: np.ndarray | None = None, offset: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Return the image (H,W) whose pixel p shows the texture at `warp @ p - offset`."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    a = np.eye(2) if warp is None else warp
    image = value(a[0, 0] * x + a[0, 1] * y - offset[0], a[1, 0] * x + a[1, 1] * y - offset[1])
    return np.clip(image, 0, 255)


def assert_found(xy: np.ndarray, true_xy: np.ndarray, trusted: np.ndarray) -> None:
    """All but a few of the trusted patches are within the tolerance, and none is twice as far off."""
    error = np.abs(xy - true_xy)[trusted].max(axis=1)
    assert np.percentile(error, 90) < TOLERANCE_PX
    assert error.max() < 2 * TOLERANCE_PX


def as_bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.4), (1.5, 0.75), (-2.25, 1.9)])
def test_a_shift_below_the_pixel_is_recovered(shift: tuple[float, float]) -> None:
    patches = cut_patches(as_bytes(sampled(texture())), CENTRES)
    image = as_bytes(sampled(texture(), offset=shift)).astype(np.float32)
    xy, _, trusted = align_patches(image, patches, SAME, CENTRES, config=AlignmentConfig())
    assert trusted.mean() > 0.9
    assert_found(xy, CENTRES + shift, trusted)


def test_patches_between_pixels_are_cut_where_they_are() -> None:
    between = CENTRES + [0.37, -0.21]
    image = as_bytes(sampled(texture()))
    xy, _, trusted = align_patches(
        image.astype(np.float32), cut_patches(image, between), SAME, np.rint(CENTRES), config=AlignmentConfig()
    )
    assert trusted.mean() > 0.9
    assert_found(xy, between, trusted)


@pytest.mark.parametrize(
    "warp",
    [
        [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]],
        [[1.3, 0.0], [0.0, 1.3]],
        [[0.75, 0.0], [0.0, 0.75]],
        [[1.0, 0.25], [-0.1, 0.9]],
    ],
    ids=["turned", "farther", "nearer", "sheared"],
)
def test_a_shift_under_an_affine_warp_is_recovered(warp: list[list[float]]) -> None:
    patch_from_image = np.array(warp)
    shift = (0.6, -0.3)
    patches = cut_patches(as_bytes(sampled(texture(1))), CENTRES)
    image = as_bytes(sampled(texture(1), patch_from_image, shift)).astype(np.float32)
    true = (CENTRES + shift) @ np.linalg.inv(patch_from_image).T
    inside = ((true > 14) & (true < np.array(SHAPE[::-1]) - 15)).all(1)
    start = true[inside] + np.random.default_rng(1).uniform(-1.5, 1.5, (inside.sum(), 2))
    warps = np.broadcast_to(patch_from_image, (inside.sum(), 2, 2))
    xy, _, trusted = align_patches(image, patches[inside], warps, start, config=AlignmentConfig())
    assert inside.sum() > 8
    assert trusted.mean() > 0.8
    # In pixels of the patch, where detail ends: a magnified patch is softer than the image
    assert_found(xy @ patch_from_image.T, true[inside] @ patch_from_image.T, trusted)


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 10.0), (1.15, -20.0), (0.7, 60.0)])
def test_brightness_and_contrast_make_no_difference(gain: float, offset: float) -> None:
    patches = cut_patches(as_bytes(sampled(texture(2))), CENTRES)
    changed = gain * sampled(texture(2), offset=(0.8, 0.45)) + offset
    xy, _, trusted = align_patches(
        as_bytes(changed).astype(np.float32), patches, SAME, CENTRES, config=AlignmentConfig()
    )
    assert trusted.mean() > 0.8
    # Where contrast is clipped at black or white the images do differ
    assert np.median(np.abs(xy - CENTRES - (0.8, 0.45))[trusted]) < TOLERANCE_PX


def test_noise_of_an_indoor_camera_costs_little() -> None:
    rng = np.random.default_rng(3)
    first, second = (sampled(texture(3), offset=shift) + rng.normal(0, 2, SHAPE) for shift in ((0, 0), (0.5, 0.5)))
    xy, _, trusted = align_patches(
        as_bytes(second).astype(np.float32),
        cut_patches(as_bytes(first), CENTRES),
        SAME,
        CENTRES,
        config=AlignmentConfig(),
    )
    assert trusted.mean() > 0.9
    error = (xy - CENTRES - 0.5)[trusted]
    assert np.sqrt(np.mean(error**2)) < 0.1


def aligned_in_noise(noise: float, blur_px: float = 0.0, seeds: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return errors (N,2) and deviations (N,), px, of trusted patches of some textures, blurred and with noise."""
    errors, sigmas_px = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        clean = (sampled(texture(seed), offset=shift) for shift in ((0.0, 0.0), (0.4, -0.3)))
        soft = (image if blur_px == 0 else cv2.GaussianBlur(image, (0, 0), blur_px) for image in clean)
        first, second = (as_bytes(image + rng.normal(0, noise, SHAPE)) for image in soft)
        xy, sigma_px, trusted = align_patches(
            second.astype(np.float32), cut_patches(first, CENTRES), SAME, CENTRES, config=AlignmentConfig()
        )
        errors.append((xy - CENTRES - (0.4, -0.3))[trusted])
        sigmas_px.append(sigma_px[trusted])
    return np.concatenate(errors), np.concatenate(sigmas_px)


def test_the_deviation_grows_with_noise() -> None:
    medians = [np.median(aligned_in_noise(noise)[1]) for noise in (0.0, 2.0, 4.0, 8.0)]
    assert (np.diff(medians) > 0).all()
    # In proportion, once noise outweighs interpolation and until it weighs in the gradients
    assert medians[2] / medians[1] == pytest.approx(2.0, rel=0.15)


def test_the_deviation_grows_with_blur() -> None:
    medians = [np.median(aligned_in_noise(4.0, blur_px)[1]) for blur_px in (0.0, 1.0, 2.0, 3.0)]
    assert (np.diff(medians) > 0).all()


def test_the_deviation_is_larger_where_only_the_image_is_blurred() -> None:
    """As in a view of a camera that moves fast, of what it saw at rest."""
    patches, medians = cut_patches(as_bytes(sampled(texture(12))), CENTRES), []
    for blur_px in (0.5, 1.0, 1.5, 2.0):
        image = as_bytes(cv2.GaussianBlur(sampled(texture(12), offset=(0.4, -0.3)), (0, 0), blur_px))
        _, sigmas_px, trusted = align_patches(
            image.astype(np.float32), patches, SAME, CENTRES, config=AlignmentConfig()
        )
        medians.append(np.median(sigmas_px[trusted]))
    assert (np.diff(medians) > 0).all()


@pytest.mark.parametrize("blur_px", [0.0, 2.0])
@pytest.mark.parametrize("noise", [2.0, 4.0, 8.0])
def test_the_deviation_is_that_of_the_errors(noise: float, blur_px: float) -> None:
    """The deviation counts the residuals of eight pixels as one: where those of pixels are independent it is sqrt(8)
    times the error, and it is the error where noise, interpolated and in the gradients, makes them alike.
    """
    errors, sigmas_px = aligned_in_noise(noise, blur_px)
    ratio = np.sqrt(np.mean(errors**2) / np.mean(sigmas_px**2))
    assert 8**-0.5 < ratio < 1.0


@pytest.mark.parametrize("noise", [2.0, 8.0])
def test_patches_of_large_deviations_are_off_by_more(noise: float) -> None:
    errors, sigmas_px = aligned_in_noise(noise)
    order = np.argsort(sigmas_px)
    third = len(order) // 3
    rms = [np.sqrt(np.mean(errors[rows] ** 2)) for rows in (order[:third], order[-third:])]
    stated = np.median(sigmas_px[order[-third:]]) / np.median(sigmas_px[order[:third]])
    assert stated > 1.4
    # By as much as stated at least; the rms error of some 80 patches is itself known to a tenth or so. Strong noise,
    # which adds to the gradients of poor texture, makes the difference larger still
    assert rms[1] / rms[0] > 0.8 * stated


def test_a_flat_patch_is_not_trusted() -> None:
    flat = np.full(SHAPE, 90, np.uint8)
    _, _, trusted = align_patches(
        flat.astype(np.float32), cut_patches(flat, CENTRES), SAME, CENTRES, config=AlignmentConfig()
    )
    assert not trusted.any()


def test_an_edge_without_a_corner_is_not_trusted() -> None:
    x, y = np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0]))
    for across in (x, y, 0.6 * x + 0.8 * y):
        edges = as_bytes(127 + 100 * np.sin(across * 2 * np.pi / 15))
        _, _, trusted = align_patches(
            edges.astype(np.float32), cut_patches(edges, CENTRES), SAME, CENTRES + 0.5, config=AlignmentConfig()
        )
        assert trusted.mean() < 0.05


def test_another_texture_is_not_trusted() -> None:
    patches = cut_patches(as_bytes(sampled(texture(4))), CENTRES)
    _, _, trusted = align_patches(
        sampled(texture(5)).astype(np.float32), patches, SAME, CENTRES, config=AlignmentConfig()
    )
    # By chance one in a dozen smooth patches looks like another within 3 px
    assert trusted.mean() < 0.15


def test_a_patch_that_moved_too_far_is_not_trusted_in_the_wrong_place() -> None:
    patches = cut_patches(as_bytes(sampled(texture(6))), CENTRES)
    image = sampled(texture(6), offset=(9.0, -8.0)).astype(np.float32)
    xy, _, trusted = align_patches(image, patches, SAME, CENTRES, config=AlignmentConfig())
    assert trusted.mean() < 0.15
    assert (np.abs(xy - CENTRES)[trusted] < 3.0).all()


@pytest.mark.parametrize("place", [(-40.0, 10.0), (2.0, 2.0), (500.0, 500.0)])
def test_a_start_at_or_beyond_the_edge_of_the_image_does_no_harm(place: tuple[float, float]) -> None:
    image = as_bytes(sampled(texture(7)))
    patches = cut_patches(image, np.array([place]))
    xy, _, trusted = align_patches(
        image.astype(np.float32), patches[:, ::-1], SAME[:1], np.array([place]), config=AlignmentConfig()
    )
    assert np.isfinite(xy).all()
    assert not trusted.any(), "a mirrored patch is nowhere"


def test_no_patches_are_no_work() -> None:
    image = np.zeros(SHAPE, np.float32)
    nothing = np.zeros((0, PATCH_SIZE, PATCH_SIZE), np.uint8)
    xy, sigmas_px, trusted = align_patches(
        image, nothing, np.zeros((0, 2, 2)), np.zeros((0, 2)), config=AlignmentConfig()
    )
    assert xy.shape == (0, 2) and sigmas_px.shape == trusted.shape == (0,)


def test_no_patches_are_cut_around_no_pixels() -> None:
    patches = cut_patches(np.zeros(SHAPE, np.uint8), np.zeros((0, 2)))
    assert patches.shape == (0, PATCH_SIZE, PATCH_SIZE)


def test_many_patches_are_aligned_as_few_are() -> None:
    """OpenCV samples at most 32767 rows at once, which 1600 patches have."""
    image = as_bytes(sampled(texture(8)))
    moved = sampled(texture(8), offset=(0.4, 0.2)).astype(np.float32)
    many = np.tile(CENTRES, (1 + 2000 // len(CENTRES), 1))
    same = np.broadcast_to(np.eye(2), (len(many), 2, 2))
    xy, sigmas_px, trusted = align_patches(moved, cut_patches(image, many), same, many, config=AlignmentConfig())
    few_xy, few_sigmas_px, few_trusted = align_patches(
        moved, cut_patches(image, CENTRES), SAME, CENTRES, config=AlignmentConfig()
    )
    np.testing.assert_array_equal(trusted, np.tile(few_trusted, len(many) // len(CENTRES)))
    np.testing.assert_allclose(xy[: len(CENTRES)], few_xy, atol=1e-4)
    np.testing.assert_allclose(sigmas_px[: len(CENTRES)], few_sigmas_px, atol=1e-4)
    np.testing.assert_allclose(xy[-len(CENTRES) :], few_xy, atol=1e-4)


# --- matches


TURNED = 1.2 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
ABOUT_CENTRE = tuple(TURNED @ (80.3, 60.6) - (80, 60))


def turned_pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return two images, pixels of the first, and where the second, which is turned and farther, shows them."""
    true = (CENTRES + ABOUT_CENTRE) @ np.linalg.inv(TURNED).T
    inside = ((true > 14) & (true < np.array(SHAPE[::-1]) - 15)).all(1)
    first = as_bytes(sampled(texture(seed)))
    second = as_bytes(sampled(texture(seed), TURNED, ABOUT_CENTRE))
    return first, second, CENTRES[inside], true[inside]


def test_matches_that_are_a_pixel_off_are_moved_to_where_they_belong() -> None:
    first, second, xy, true = turned_pair(9)
    found = true + np.random.default_rng(2).normal(0, 1, true.shape)
    aligned, trusted = align_matches(first, second, xy, found)
    assert len(xy) > 16 and trusted.mean() > 0.8
    assert np.median(np.linalg.norm(found - true, axis=1)) > 1.0
    assert_found(aligned @ TURNED.T, true @ TURNED.T, trusted)
    np.testing.assert_array_equal(aligned[~trusted], found[~trusted])


def test_wrong_matches_are_not_trusted_and_leave_the_others_alone() -> None:
    first, second, xy, true = turned_pair(10)
    wrong = np.arange(len(xy)) % 4 == 0
    found = np.where(wrong[:, None], true[::-1], true + 0.7)
    wrong &= np.linalg.norm(found - true, axis=1) > 8
    aligned, trusted = align_matches(first, second, xy, found)
    assert wrong.sum() > 3 and trusted[wrong].mean() < 0.2
    right = trusted & ~wrong
    assert right.sum() > 0.7 * (~wrong).sum()
    assert_found(aligned @ TURNED.T, true @ TURNED.T, right)


def test_the_warp_of_matches_is_that_of_those_around() -> None:
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 300, (80, 2))
    found = xy @ TURNED.T + (10.0, 20.0) + rng.normal(0, 0.5, xy.shape)
    found[::5] = rng.uniform(0, 300, (16, 2))
    warps = warps_of_matches(xy, found)
    # Half a pixel over neighbours some 60 px apart
    assert np.percentile(np.abs(warps - TURNED).max(axis=(1, 2)), 90) < 0.03


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_matches_and_those_on_a_line_do_no_harm(count: int) -> None:
    first, second, *_ = turned_pair(11)
    on_line = np.full((count, 2), 60.0) + np.arange(count)[:, None] * (7.0, 0.0)
    warps = warps_of_matches(on_line, on_line + 3.0)
    np.testing.assert_allclose(warps, np.broadcast_to(np.eye(2), (count, 2, 2)), atol=1e-6)
    aligned, trusted = align_matches(first, second, on_line, on_line + 3.0)
    assert aligned.shape == (count, 2) and trusted.shape == (count,) and np.isfinite(aligned).all()

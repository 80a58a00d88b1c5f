"""Finding what stays at its pixels while the scene moves: a bonnet, a robot's arm, a time stamp.

Cell by cell two explanations of a pair of frames are compared: the cell shows the same as before, or the scene has
moved through it. How much the image would have changed then is told by the image itself, shifted as the camera's motion
says; so a wall without texture, an edge along the motion, the sky and a camera that stands still say nothing.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from slamfront.config import OverlayConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.imaging import grey, painted_over
from slamfront.map import KeyframeMap
from slamfront.tracking.view import View
from slamfront.types import BoolArray, Float32Array, FloatArray, Frame, Image, read_only

# Cells along the width of an image, at least, and averaged pixels along a side of a cell
_COLUMNS, _CELL = 32, 5


class OverlayFinder:
    """Learns from frame to frame which pixels of a camera stay, and gives a mask that leaves them out.

    camera   pinhole, that of the images
    evidence float (R,C): the logarithm of how much likelier each cell of the image is to stay than to show the scene
    """

    def __init__(self, camera: Camera, config: OverlayConfig) -> None:
        self._config = config
        self._step = max(1, camera.width // (_COLUMNS * _CELL))
        side = self._step * _CELL
        columns, rows = max(1, camera.width // side), max(1, camera.height // side)
        self._camera, self._small = camera, (columns * _CELL, rows * _CELL)
        # What is left over is at the top and at the sides: a bonnet or an arm reaches in from below
        self._corner = max(0, (camera.width - columns * side) // 2), max(0, camera.height - rows * side)
        x, y = ((np.arange(n) + 0.5) * side - 0.5 + at for n, at in zip((columns, rows), self._corner))
        self._middles_xy = np.stack([middle.ravel() for middle in np.meshgrid(x, y)], 1)
        self._pixels_xy = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in self._small)), 2)
        self._before: Float32Array | None = None
        self._motion, self._age = Pose.identity(), 0
        self._cells: Image = np.zeros((rows, columns), np.uint8)
        self._mask: BoolArray | None = None
        self.evidence: FloatArray = np.zeros((rows, columns))

    @property
    def cells_xy(self) -> FloatArray:
        """Middles of the cells (R*C,2), px, row by row: where depths are asked for."""
        return self._middles_xy

    @property
    def mask(self) -> BoolArray | None:
        """Where the image may be used (H,W), as `Frame.mask`; None while no overlay is known. The same array until it
        changes.
        """
        return self._mask

    def look(
        self, image: Image, now_from_before: Pose | None, nearest_m: float, depths_m: FloatArray | None = None
    ) -> None:
        """Take in the next grey image (H,W).

        now_from_before  how the camera has moved since the image before; None where that is not known
        nearest_m        no point of the scene is nearer
        depths_m         (R*C,) depths of the cells where they are measured, NaN elsewhere; None = nowhere
        """
        small, before = self._averaged(image), self._before
        if before is None or now_from_before is None:
            self._keep(small)
            return
        self._motion = now_from_before @ self._motion
        self._age += 1
        shifts_px = self._least_shifts(self._motion, nearest_m, depths_m)
        if np.median(np.linalg.norm(shifts_px, axis=1)) < self._step and self._age < self._config.max_age:
            return
        self._keep(small)
        says = self._says(small, before, shifts_px)
        # Where most of what the cells say is that they stay, the camera stands still, and its motion is wrong
        if says.sum() >= 0:
            return
        self.evidence = np.clip(self.evidence + says, -self._config.decided, 2 * self._config.decided)
        self._draw()

    def _keep(self, small: Float32Array) -> None:
        """Compare the next images with this one, until the scene has moved by an averaged pixel."""
        self._before, self._motion, self._age = small, Pose.identity(), 0

    def _averaged(self, image: Image) -> Float32Array:
        (x, y), (width, height), step = self._corner, self._small, self._step
        part = image[y : y + height * step, x : x + width * step]
        return np.asarray(cv2.resize(part, self._small, interpolation=cv2.INTER_AREA), np.float32)

    def _least_shifts(self, now_from_before: Pose, nearest_m: float, depths_m: FloatArray | None) -> FloatArray:
        """Return the least shifts (R*C,2), px, that the scene has made in the cells, less three deviations: a point
        moves along a line with its inverse depth.
        """
        rays = self._camera.unproject(self._middles_xy)
        farthest, nearest = np.zeros(len(rays)), np.full(len(rays), 1 / nearest_m)
        if depths_m is not None:
            known = np.isfinite(depths_m) & (depths_m > 0)
            farthest[known] = nearest[known] = 1 / depths_m[known]
        ends = []
        for inverse in (farthest, nearest):
            points = rays @ now_from_before.rotation.T + inverse[:, None] * now_from_before.translation_m
            ends.append(self._camera.project(points) - self._middles_xy)
        far, near = ends
        way = near - far
        length = np.einsum("ni,ni->n", way, way)
        share = np.clip(-np.einsum("ni,ni->n", far, way) / np.maximum(length, 1e-12), 0.0, 1.0)
        least = np.nan_to_num(far + share[:, None] * way)
        size = np.linalg.norm(least, axis=1, keepdims=True)
        return np.asarray(least * np.clip(1 - 3 * self._config.shift_sigma_px / np.maximum(size, 1e-9), 0.0, 1.0))

    def _says(self, small: Float32Array, before: Float32Array, shifts_px: FloatArray) -> FloatArray:
        """Return what two averaged images say for each cell (R,C): a logarithm of likelihoods, positive = it stays.

        Changes of pixels are taken as normal with a variance of noise alone, or of what the shift makes, which has the
        image's noise in it too: a shift that changes no more than noise does says nothing, however often.
        """
        shifts = (shifts_px / self._step).astype(np.float32).reshape(*self.evidence.shape, 2)
        moved = self._pixels_xy + cv2.resize(shifts, self._small, interpolation=cv2.INTER_LINEAR)
        shifted = cv2.remap(small, moved, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        stays = 2 * self._config.change_sigma**2
        moves = np.maximum(stays, self._variances(small - shifted))
        found = self._variances(small - before)
        count = _CELL**2 / self._config.correlated_pixels
        says = count / 2 * (np.log(moves / stays) - found * (1 / stays - 1 / moves))
        return np.clip(says, -self._config.max_evidence, self._config.max_evidence)

    def _variances(self, change: Float32Array) -> FloatArray:
        """Return the variance of a change in each cell (R,C); one that is the same all over a cell is the light's."""
        rows, columns = self.evidence.shape
        mean, square = (
            cv2.resize(one, (columns, rows), interpolation=cv2.INTER_AREA) for one in (change, change * change)
        )
        return np.asarray(np.maximum(square - mean * mean, 0.0), np.float64)

    def _draw(self) -> None:
        """Make the mask anew where the cells of the overlay have changed; cells beside them show some of it too."""
        cells: Image = (self.evidence > self._config.decided).astype(np.uint8)
        beside = cv2.filter2D(cells, -1, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT)
        cells = np.asarray(
            cv2.dilate(cells * (beside > self._config.min_beside).astype(np.uint8), np.ones((3, 3), np.uint8))
        )
        if np.array_equal(cells, self._cells):
            return
        self._cells = cells
        (x, y), side = self._corner, self._step * _CELL
        whole = cells.repeat(side, 0).repeat(side, 1)
        beyond = self._camera.height - y - whole.shape[0], self._camera.width - x - whole.shape[1]
        usable = np.pad(whole, ((y, beyond[0]), (x, beyond[1])), "edge") == 0
        self._mask = None if usable.all() else read_only(usable)


class Overlay:
    """Leaves out of each frame what stays at its pixels, as tracking shows from frame to frame; what the frame's own
    mask hides has no say in it.
    """

    def __init__(self, camera: Camera, config: OverlayConfig) -> None:
        self._finder = OverlayFinder(camera, config)
        self._before: Pose | None = None
        self._own_mask: BoolArray | None = None

    def masked(self, frame: Frame) -> Frame:
        """Return the frame without the overlay that is known by now."""
        mask, self._own_mask = self._finder.mask, frame.mask
        if mask is None:
            return frame
        return replace(frame, mask=mask if frame.mask is None else frame.mask & mask)

    def observe(self, view: View, world: KeyframeMap, odom_from_camera: Pose | None) -> None:
        """Take in a frame that was answered, with its pose in a frame that corrections of the map do not move; None for
        one without.
        """
        before, self._before = self._before, odom_from_camera
        image = grey(view.frame.image)
        image = image if self._own_mask is None else painted_over(image, self._own_mask)
        if before is None or odom_from_camera is None:
            self._finder.look(image, None, 1.0)
            return
        shown = view.landmark_rows >= 0
        depths = view.pose.apply(world.landmarks.positions_m[view.landmark_rows[shown]])[:, 2]
        depths = depths[depths > 0]
        nearest_m = 0.5 * float(np.quantile(depths, 0.05)) if len(depths) else 1.0
        motion = odom_from_camera.inverse() @ before
        self._finder.look(image, motion, max(nearest_m, 1e-3), self._depths_m(view.frame))

    def _depths_m(self, frame: Frame) -> FloatArray | None:
        """Return the depths of the cells (R*C,) where a depth image has any, NaN elsewhere; None without one."""
        if frame.depth_m is None:
            return None
        columns, rows = np.rint(self._finder.cells_xy).astype(np.int64).T
        depths = frame.depth_m[rows, columns].astype(np.float64)
        known = depths > 0 if self._own_mask is None else (depths > 0) & self._own_mask[rows, columns]
        return np.where(known, depths, np.nan)

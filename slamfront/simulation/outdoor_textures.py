"""What surfaces look like beside roads and in forests, and on what carries a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slamfront.simulation import patterns
from slamfront.simulation.textures import Painter, rgb, rounded
from slamfront.types import Image


@dataclass
class OutdoorPainter(Painter):
    """A painter who knows the countryside too."""

    def carriageway(self, width_m: float, height_m: float) -> Image:
        """Return a motorway's two lanes and its hard shoulder, which lies at the texture's lower edge, along x.

        Asphalt shows little but its markings. Dashes of 6 m follow each other every 15 m, the first 0.4 m from x = 0.
        """
        rng, shape = self._rng, self._shape(width_m, height_m)
        picture = patterns.plain(*shape, rgb(112, 112, 116)).copy()
        if self.style == "rich":
            picture = patterns.mottled(rng, *shape, rgb(112, 112, 116), self._px(6.0), 0.03)
            for _ in range(int(rng.integers(0, 4))):
                y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
                picture[y : y + self._px(0.25), x : x + self._px(rng.uniform(1, 6))] *= rng.uniform(0.75, 0.92)
        dashes = (np.arange(shape[1]) / self.texels_per_m - 0.4) % 15.0 < 6.0
        for middle_m, thick_m, columns in ((0.5, 0.15, ...), (4.25, 0.15, dashes), (8.0, 0.3, ...)):
            rows = slice(self._px(middle_m - thick_m / 2), self._px(middle_m + thick_m / 2) + 1)
            picture[rows, columns] = 222
        return self._finish(picture, corner_m=0.0)

    def verge(self, width_m: float, height_m: float) -> Image:
        """Return mown grass beside a road."""
        amount = 0.12 if self.style == "rich" else 0.0
        return rounded(patterns.mottled(self._rng, *self._shape(width_m, height_m), rgb(96, 122, 66), 20, amount))

    def rail(self, width_m: float, height_m: float) -> Image:
        """Return a guard rail: a band of steel over grass, with a post and a joint every 4 m."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        picture = patterns.mottled(rng, *shape, rgb(70, 90, 55), 6, 0.1)
        band = picture[: max(2, int(0.45 * shape[0]))]
        profile = 150 + 40 * np.cos(np.linspace(0, 4 * np.pi, band.shape[0], dtype=np.float32))
        band[:] = (
            profile[:, None, None]
            * (1 + 0.02 * patterns.noise(rng, band.shape[0], band.shape[1], (8, 60), 3))[..., None]
        )
        posts = np.arange(shape[1]) / self.texels_per_m % 4.0 < 0.12
        picture[band.shape[0] :, posts] = 120
        picture[: band.shape[0], posts] *= 0.8
        return self._finish(picture, corner_m=0.0)

    def post(self, width_m: float, height_m: float) -> Image:
        """Return a white marker post with a black band and a reflector."""
        picture = patterns.plain(24, 4, rgb(235, 235, 235)).copy()
        picture[4:9] = 30
        picture[5:8, 1:3] = rgb(240, 160, 60)
        return rounded(picture)

    def sign(self, width_m: float, height_m: float) -> Image:
        """Return a motorway sign: white print on blue."""
        picture = patterns.plain(*self._shape(width_m, height_m), rgb(25, 70, 160)).copy()
        self._frame(picture, self._px(0.07), rgb(235, 235, 235))
        dot = max(1, self._px(0.07))
        for top in range(4 * dot, picture.shape[0] - 9 * dot, 10 * dot):
            line = patterns.print_line(self._rng, int(picture.shape[1] * self._rng.uniform(0.4, 0.85)) // dot)
            text = np.kron(line, np.ones((dot, dot), bool))
            picture[top : top + text.shape[0], 3 * dot : 3 * dot + text.shape[1]][text] = 235
        return rounded(picture)

    def concrete(self, width_m: float, height_m: float) -> Image:
        """Return concrete with the joints of its formwork."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = rgb(165, 163, 158)
        if self.style != "rich":
            return rounded(patterns.plain(*shape, tone))
        picture = patterns.mottled(rng, *shape, tone, self._px(1.0), 0.05)
        picture[:: self._px(1.25)] *= 0.85
        picture[:, :: self._px(2.5)] *= 0.85
        return self._finish(picture, corner_m=0.05)

    def foliage(self, width_m: float, height_m: float) -> Image:
        """Return trees or bushes from a distance: leaves in clumps, darker between them and towards the ground."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.45, 0.7), (0.3, 0.5), (70, 120))
        if self.style == "low":
            return rounded(patterns.plain(*shape, tone))
        clumps = patterns.noise(rng, *shape, (self._px(1.2), self._px(1.2)), 3)
        leaves = patterns.noise(rng, *shape, (self._px(0.2), self._px(0.2)), 3)
        shade = np.linspace(1.15, 0.7, shape[0], dtype=np.float32)[:, None]
        return rounded(tone * np.clip(shade * (1 + 0.22 * clumps + 0.22 * leaves), 0.1, 2.2)[..., None])

    def bark(self, width_m: float, height_m: float) -> Image:
        """Return the bark of a trunk, which is furrowed upwards and looks much like that of the next one."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.2, 0.4), (0.3, 0.5), (20, 40))
        if self.style == "low":
            return self._finish(patterns.plain(*shape, tone).copy(), corner_m=0.05)
        furrows = patterns.noise(rng, *shape, (self._px(0.3), self._px(0.03)), 3)
        moss = patterns.noise(rng, *shape, (self._px(0.8), self._px(0.2)), 4)
        return self._finish(tone * np.clip(1 + 0.28 * furrows + 0.1 * moss, 0.15, 2.0)[..., None], corner_m=0.05)

    def litter(self, width_m: float, height_m: float) -> Image:
        """Return the ground of a forest: leaves in many shades of brown, moss, and earth."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        picture = patterns.mottled(rng, *shape, rgb(105, 85, 60), self._px(1.5), 0.12)
        if self.style == "low":
            return rounded(picture)
        for size_m in (0.16, 0.08):
            side = max(2, self._px(size_m))
            cells = (shape[0] // side + 2, shape[1] // side + 2)
            tones = np.stack([patterns.colour(rng, (0.3, 0.6), (0.25, 0.65), (20, 75)) for _ in range(12)])
            grid = tones[rng.integers(0, 12, cells)]
            # Leaves are cells of a grid that is bent, and half of them are left out
            bent = [self._px(size_m) * patterns.noise(rng, *shape, (side, side), 2) for _ in range(2)]
            y, x = np.indices(shape)
            rows = np.clip((y + bent[0]).astype(int) // side, 0, cells[0] - 1)
            columns = np.clip((x + bent[1]).astype(int) // side, 0, cells[1] - 1)
            lies = rng.random(cells)[rows, columns] < 0.5
            picture[lies] = grid[rows[lies], columns[lies]]
        return rounded(picture * (1 + 0.06 * patterns.noise(rng, *shape, (4, 4), 2))[..., None])

    def printed(self, width_m: float, height_m: float) -> Image:
        """Return a surface with print all over, whose corners are as good to follow as any."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        picture = patterns.letters(rng, *shape)
        return self._finish(picture * (1 + 0.05 * patterns.noise(rng, *shape, (9, 9), 3))[..., None], corner_m=0.0)

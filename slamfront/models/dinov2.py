"""DINOv2: a vision transformer trained without labels (Oquab et al., TMLR 2024), with the layout of Meta's files."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slamfront.errors import FrameError

PATCH_PX = 14
"""Side of a patch, px."""
_HEAD_DIM = 64
_EPSILON = 1e-6
# The authors add this to the number of patches before they divide: it shifts the phase of the interpolation
_ADDED_PATCHES = 0.1


class DinoV2(nn.Module):
    """The transformer without its training heads: S/14 with 384 channels and 12 layers, L/14 with 1024 and 24.

    grid: sides in patches of the image that the position embedding is for, 37 for 518 px.
    """

    signature = "patch_embed.proj.weight"

    def __init__(self, dim: int = 1024, layers: int = 24, grid: int = 37) -> None:
        super().__init__()
        if dim % _HEAD_DIM:
            raise ValueError(f"the channels must be a multiple of {_HEAD_DIM}, not {dim}")
        self.dim, self.grid = dim, grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))  # only training uses it, but files hold it
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, PATCH_PX, PATCH_PX)})
        self.blocks = nn.ModuleList(_Block(dim) for _ in range(layers))
        self.norm = nn.LayerNorm(dim, _EPSILON)

    @staticmethod
    def config_of(state: Mapping[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        layers = {name.split(".")[1] for name in state if name.startswith("blocks.")}
        grid = int((state["pos_embed"].shape[1] - 1) ** 0.5)
        return {"dim": state["cls_token"].shape[-1], "layers": len(layers), "grid": grid}

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return patch tokens (B,C,H / 14,W / 14) and class tokens (B,C), normalised, of normalised images (B,3,H,W).

        Raises FrameError unless sides are multiples of 14.
        """
        height, width = image.shape[-2:]
        if height % PATCH_PX or width % PATCH_PX or not height or not width:
            raise FrameError(f"DINOv2 needs sides that are multiples of 14 px, not {width}x{height}")
        patches = self.patch_embed["proj"](image.to(self.cls_token.dtype))
        rows, columns = patches.shape[-2:]
        tokens = torch.cat((self.cls_token.expand(len(image), -1, -1), patches.flatten(2).mT), dim=1)
        tokens = tokens + self._positions(rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens[:, 1:].mT.unflatten(2, (rows, columns)), tokens[:, 0]

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return the position embedding (1,1 + rows * columns,C): that of the patches resized bicubically."""
        if rows == columns == self.grid:
            return self.pos_embed
        whole = self.pos_embed[:, 1:].float().mT.unflatten(2, (self.grid, self.grid))
        factors = tuple((side + _ADDED_PATCHES) / self.grid for side in (rows, columns))
        resized = F.interpolate(whole, scale_factor=factors, mode="bicubic", align_corners=False)
        assert resized.shape[-2:] == (rows, columns)
        return torch.cat((self.pos_embed[:, :1], resized.flatten(2).mT.to(self.pos_embed.dtype)), dim=1)


class _Block(nn.Module):
    """Attention and a perceptron, each with a residual of its own scale (LayerScale)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, _EPSILON), nn.LayerNorm(dim, _EPSILON)
        self.attn, self.mlp = _Attention(dim), _Perceptron(dim)
        self.ls1, self.ls2 = _Scale(dim), _Scale(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class _Attention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.qkv(x).unflatten(2, (3, -1, _HEAD_DIM)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))


class _Perceptron(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Scale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma

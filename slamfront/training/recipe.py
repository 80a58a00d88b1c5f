"""A recipe: everything that decides a training, in one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from slamfront.training.homographies import WarpConfig
from slamfront.training.photometric import PhotometricConfig


@dataclass(frozen=True)
class NetworkRecipe:
    """The network, and where it begins."""

    kind: Literal["superpoint", "superpoint-lite", "superglue", "lightglue", "lightglue-lite"] = "superpoint"
    """Those without `-lite` have the official layouts, those with it are made for CPUs."""
    start: Path | None = None
    """What to begin with: the checkpoint (.pt) of an earlier training, or a matcher's weights by file or name."""
    layers: int | None = None
    """Layers of LightGlue, where it is not to have as many as its kind: fewer learn in less time, and a deeper network
    can begin with them."""
    settled_layers: int = 0
    """First layers of LightGlue that stay as they are, while those behind them learn."""


@dataclass(frozen=True)
class DataRecipe:
    """What the network sees."""

    photographs: Path = Path("photographs")
    """Folder of photographs."""
    labels: Path = Path("labels.npz")
    """Their keypoints, from `slamfront label`."""
    rendered: Path | None = None
    """Rendered pairs, with parallax and occlusion, a folder or a file from tools/render_pairs.py."""
    rendered_labels: Path | None = None
    """Keypoints of their views, from `slamfront label`; without them the descriptors alone learn from such pairs."""
    rendered_share: float = 0.2
    """Share of the pairs that are rendered ones, where there are such."""
    width: int = 160
    """Width of what is cut out, px; a multiple of 8."""
    height: int = 160
    """Height of what is cut out, px; a multiple of 8."""
    label_density: float = 250.0
    """Pixels for each keypoint: of a photograph's labels the strongest are taken, one for so many pixels."""
    warp: WarpConfig = field(default_factory=WarpConfig)
    light: PhotometricConfig = field(default_factory=PhotometricConfig)
    workers: int = 1
    """Processes that prepare data."""


@dataclass(frozen=True)
class PairsRecipe:
    """What a matcher sees: features of pairs of images, from tools/extract_pairs.py."""

    files: tuple[Path, ...] = ()
    """Files of pairs to learn from."""
    shares: tuple[float, ...] = ()
    """How often each file is drawn from; their sum counts as 1."""
    validation: tuple[Path, ...] = ()
    """Files of pairs to validate on."""
    keypoints: int = 256
    """So many of each image take part, the best first."""


@dataclass(frozen=True)
class LossRecipe:
    """What is made small."""

    descriptor: Literal["dual-softmax", "hinge"] = "dual-softmax"
    """Contrastive loss over sampled keypoints, or the paper's over all cells."""
    descriptor_weight: float = 0.5
    """Weight beside the detector's loss."""
    agreement_weight: float = 0.0
    """Weight of the distance between the places that two views find for the same keypoints."""
    sigma_px: float = 0.6
    """Spread of the detector's targets."""
    temperature: float = 0.06
    """Temperature that the dual softmax starts with; it is learned."""
    negatives: Literal["pair", "batch"] = "pair"
    """What a descriptor is told apart from: other points of its pair, or those of all pairs of a step."""
    points: int = 256
    """Corresponding points of a pair."""
    jitter_px: float = 0.6
    """Standard deviation of the second point about the true one, since found keypoints are not exact either."""


@dataclass(frozen=True)
class ScheduleRecipe:
    """How the weights are moved."""

    steps: int = 20000
    batch: int = 16
    """Images or pairs of a step, over all devices."""
    learning_rate: float = 2e-3
    """Highest rate; it rises over the warm-up and falls along a cosine."""
    lowest: float = 0.01
    """Share of the highest rate that the last step has; 1 keeps the rate, so that a training may end at any step."""
    warmup: int = 300
    weight_decay: float = 1e-4
    clip: float = 5.0
    """Longest gradient."""
    thrifty: bool = False
    """Compute the layers of LightGlue again for the gradient instead of keeping them: slower, for larger batches."""
    average: float = 0.998
    """The weights that count are a running mean of the learned ones, with this memory."""


@dataclass(frozen=True)
class ReportRecipe:
    """What is told and kept, and when."""

    log_every: int = 50
    validate_every: int = 1000
    save_every: int = 500
    photographs: Path | None = None
    """Folder of photographs to validate on; None validates on none."""
    rendered: Path | None = None
    """Rendered pairs to validate on as well, of worlds that are not learned from."""
    pairs: int = 48
    """Pairs of each kind to validate on."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training."""

    task: Literal["magicpoint", "superpoint", "matcher", "confidence"] = "superpoint"
    """`magicpoint` trains the detector on drawn shapes, `superpoint` detector and descriptors on pairs, `matcher`
    SuperGlue or LightGlue on their features, `confidence` what tells LightGlue that it may stop."""
    seed: int = 0
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    pairs: PairsRecipe = field(default_factory=PairsRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    report: ReportRecipe = field(default_factory=ReportRecipe)

"""A recipe: everything that decides a training, in one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from slamfront.config import Count, Settings, Share
from slamfront.training.homographies import WarpConfig
from slamfront.training.photometric import PhotometricConfig

Often = Annotated[int, Interval(ge=1, le=10**9)]
"""Every so many steps."""
Weight = Annotated[float, Interval(ge=0, le=1e6)]


@dataclass(frozen=True)
class NetworkRecipe(Settings, section="network"):
    """The network, and where it begins."""

    kind: Literal["superpoint", "superpoint-lite", "superglue", "lightglue", "lightglue-lite"] = "superpoint"
    """Those without `-lite` have the official layouts, those with it are made for CPUs."""
    start: Path | None = None
    """What to begin with: the checkpoint (.pt) of an earlier training, or a matcher's weights by file or name."""
    layers: Annotated[int, Interval(ge=1, le=64)] | None = None
    """Layers of LightGlue, where it is not to have as many as its kind: fewer learn in less time, and a deeper network
    can begin with them."""
    settled_layers: Annotated[int, Interval(ge=0, le=64)] = 0
    """First layers of LightGlue that stay as they are, while those behind them learn."""


@dataclass(frozen=True)
class DataRecipe(Settings, section="data"):
    """What the network sees."""

    photographs: Path = Path("photographs")
    """Folder of photographs."""
    labels: Path = Path("labels.npz")
    """Their keypoints, from `slamfront label`."""
    rendered: Path | None = None
    """Rendered pairs, with parallax and occlusion, a folder or a file from tools/render_pairs.py."""
    rendered_labels: Path | None = None
    """Keypoints of their views, from `slamfront label`; without them the descriptors alone learn from such pairs."""
    rendered_share: Share = 0.2
    """Share of the pairs that are rendered ones, where there are such."""
    width: Annotated[int, Interval(ge=16, le=4096)] = 160
    """Width of what is cut out, px; a multiple of 8."""
    height: Annotated[int, Interval(ge=16, le=4096)] = 160
    """Height of what is cut out, px; a multiple of 8."""
    label_density: Annotated[float, Interval(ge=1, le=1e9)] = 250.0
    """Pixels for each keypoint: of a photograph's labels the strongest are taken, one for so many pixels."""
    warp: WarpConfig = field(default_factory=WarpConfig)
    light: PhotometricConfig = field(default_factory=PhotometricConfig)
    workers: Annotated[int, Interval(ge=0, le=64)] = 1
    """Processes that prepare data."""


@dataclass(frozen=True)
class PairsRecipe(Settings, section="pairs"):
    """What a matcher sees: features of pairs of images, from tools/extract_pairs.py."""

    files: tuple[Path, ...] = ()
    """Files of pairs to learn from."""
    shares: tuple[Weight, ...] = ()
    """How often each file is drawn from; their sum counts as 1."""
    validation: tuple[Path, ...] = ()
    """Files of pairs to validate on."""
    keypoints: Annotated[int, Interval(ge=1, le=20000)] = 256
    """So many of each image take part, the best first."""


@dataclass(frozen=True)
class LossRecipe(Settings, section="loss"):
    """What is made small."""

    descriptor: Literal["dual-softmax", "hinge"] = "dual-softmax"
    """Contrastive loss over sampled keypoints, or the paper's over all cells."""
    descriptor_weight: Weight = 0.5
    """Weight beside the detector's loss."""
    agreement_weight: Weight = 0.0
    """Weight of the distance between the places that two views find for the same keypoints."""
    sigma_px: Annotated[float, Interval(ge=0.01, le=100)] = 0.6
    """Spread of the detector's targets."""
    temperature: Annotated[float, Interval(ge=0.001, le=100)] = 0.06
    """Temperature that the dual softmax starts with; it is learned."""
    negatives: Literal["pair", "batch"] = "pair"
    """What a descriptor is told apart from: other points of its pair, or those of all pairs of a step."""
    points: Annotated[int, Interval(ge=1, le=100000)] = 256
    """Corresponding points of a pair."""
    jitter_px: Annotated[float, Interval(ge=0, le=100)] = 0.6
    """Standard deviation of the second point about the true one, since found keypoints are not exact either."""


@dataclass(frozen=True)
class ScheduleRecipe(Settings, section="schedule"):
    """How the weights are moved."""

    steps: Count = 20000
    batch: Annotated[int, Interval(ge=1, le=4096)] = 16
    """Images or pairs of a step, over all devices."""
    learning_rate: Annotated[float, Interval(ge=0, le=100)] = 2e-3
    """Highest rate; it rises over the warm-up and falls along a cosine."""
    lowest: Share = 0.01
    """Share of the highest rate that the last step has; 1 keeps the rate, so that a training may end at any step."""
    warmup: Count = 300
    weight_decay: Annotated[float, Interval(ge=0, le=100)] = 1e-4
    clip: Annotated[float, Interval(ge=1e-9, le=1e9)] = 5.0
    """Longest gradient."""
    thrifty: bool = False
    """Compute the layers of LightGlue again for the gradient instead of keeping them: slower, for larger batches."""
    average: Share = 0.998
    """The weights that count are a running mean of the learned ones, with this memory."""


@dataclass(frozen=True)
class ReportRecipe(Settings, section="report"):
    """What is told and kept, and when."""

    log_every: Often = 50
    validate_every: Often = 1000
    save_every: Often = 500
    photographs: Path | None = None
    """Folder of photographs to validate on; None validates on none."""
    rendered: Path | None = None
    """Rendered pairs to validate on as well, of worlds that are not learned from."""
    pairs: Annotated[int, Interval(ge=1, le=100000)] = 48
    """Pairs of each kind to validate on."""


@dataclass(frozen=True)
class Recipe(Settings):
    """Everything that decides a training."""

    task: Literal["magicpoint", "superpoint", "matcher", "confidence"] = "superpoint"
    """`magicpoint` trains the detector on drawn shapes, `superpoint` detector and descriptors on pairs, `matcher`
    SuperGlue or LightGlue on their features, `confidence` what tells LightGlue that it may stop."""
    seed: Annotated[int, Interval(ge=0, le=2**31 - 1)] = 0
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    pairs: PairsRecipe = field(default_factory=PairsRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    report: ReportRecipe = field(default_factory=ReportRecipe)

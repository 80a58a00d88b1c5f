"""A recipe: everything that decides a training, in one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from slamfront import config
from slamfront.config import Count, Settings, Share
from slamfront.errors import ConfigError, WeightsError
from slamfront.reading import MOST_YAML_BYTES, load_yaml, read_text

Often = Annotated[int, Interval(ge=1, le=10**9)]
"""Every so many steps."""
Weight = Annotated[float, Interval(ge=0, le=1e6)]

RENAMED = {
    ("network", "settled_layers"): "frozen_layers",
    ("loss", "agreement_weight"): "consistency_weight",
    ("schedule", "thrifty"): "gradient_checkpointing",
    ("schedule", "average"): "ema",
}
"""Former keys of recipes, by section: a file that has one is refused with the new name, a checkpoint is still read."""


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
    frozen_layers: Annotated[int, Interval(ge=0, le=64)] = 0
    """First layers of LightGlue whose weights are frozen, while those behind them learn."""


@dataclass(frozen=True)
class WarpConfig(Settings, section="data.warp"):
    """How far a random homography goes."""

    rotation_deg: Annotated[float, Interval(ge=0, le=180)] = 45.0
    """Turned by up to this much, either way."""
    scale: Annotated[float, Interval(ge=1, le=10)] = 1.5
    """Scaled by up to this factor, up or down."""
    perspective: Annotated[float, Interval(ge=0, le=0.45)] = 0.15
    """Corners are moved by up to this share of the sides."""
    shift: Annotated[float, Interval(ge=0, le=10)] = 0.15
    """Moved by up to this share of the sides."""


@dataclass(frozen=True)
class PhotometricConfig(Settings, section="data.light"):
    """How much an image's light, sharpness and noise change; each change is drawn evenly up to its bound."""

    brightness: Share = 0.2
    """Added, as a share of white."""
    contrast: Share = 0.5
    """Factor about the mean: from 1 - this to 1 + this."""
    gamma: Annotated[float, Interval(ge=1, le=10)] = 1.6
    """Exponent, from one over this to this."""
    shade: Share = 0.4
    """Lights and shadows that vary slowly over the image: darker or brighter by this share."""
    noise: Share = 0.04
    """Standard deviation of white noise, as a share of white."""
    blur_px: Annotated[float, Interval(ge=0, le=100)] = 1.2
    """Standard deviation of a Gaussian blur."""
    motion_px: Annotated[int, Interval(ge=0, le=100)] = 5
    """Length of a motion blur."""
    vignette: Share = 0.0
    """Corners are darker by up to this share."""
    coarser: Annotated[float, Interval(ge=1, le=10)] = 1.0
    """Taken by a sensor with so many times larger pixels, and interpolated."""
    jpeg: Annotated[int, Interval(ge=1, le=100)] = 100
    """Lowest quality of a compression as JPEG; 100 compresses nothing."""


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
    consistency_weight: Weight = 0.0
    """Weight of reprojection consistency: the distance between where two views find the same keypoints."""
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
    gradient_checkpointing: bool = False
    """Compute the layers of LightGlue again for the gradient instead of keeping them: slower, for larger batches."""
    ema: Share = 0.998
    """Decay of the exponential moving average (EMA) of the learned weights, which is what is validated and shipped."""


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


def load_recipe(path: Path | str) -> Recipe:
    """Return the recipe in a YAML file; ConfigError when it cannot be read or a key is refused."""
    values = load_yaml(read_text(Path(path), ConfigError, MOST_YAML_BYTES), ConfigError, path)
    for (section, old), new in RENAMED.items():
        if isinstance(values, dict) and isinstance(values.get(section), dict) and old in values[section]:
            raise ConfigError(f"{path}: unknown key '{section}.{old}': it is now '{section}.{new}'")
    try:
        return config.from_mapping(Recipe, values if values is not None else {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def recipe_of_checkpoint(text: str, name: str) -> Recipe:
    """Return the recipe in a checkpoint, former keys included; WeightsError or ConfigError where it is none."""
    return config.from_mapping(Recipe, _with_new_keys(load_yaml(text, WeightsError, name)))


def _with_new_keys(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {
        section: {RENAMED.get((section, key), key): value for key, value in content.items()}
        if isinstance(content, dict)
        else content
        for section, content in values.items()
    }

"""The only place that turns configuration into objects."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Literal

import cv2

from slamfront.backend import for_whole_map, local_backend
from slamfront.backend.remote import RemoteBackend
from slamfront.config import RunConfig
from slamfront.errors import ConfigError, ViewerError
from slamfront.features.classical import Orb, Sift
from slamfront.geometry.camera import Camera
from slamfront.matching.nearest import Nearest
from slamfront.models.weights import packaged_weights
from slamfront.pipeline import Audience, FinishingAdjuster, InlineAdjuster, NoAdjuster, ThreadedAdjuster
from slamfront.pipeline.session import WholeMapBackend
from slamfront.protocols import Adjuster, Extractor, Matcher, Source
from slamfront.sources.guess import open_source
from slamfront.tracking.front import FrontEnd
from slamfront.types import Sensor
from slamfront.viewer.controls import Controls
from slamfront.viewer.null import NullViewer
from slamfront.viewer.wrappers import ClosableViewer, Guarded, Several

log = logging.getLogger(__name__)

_WINDOW_INTERVAL_S = 0.1
_LEARNED_MATCHERS: tuple[Literal["lightglue", "superglue"], ...] = ("lightglue", "superglue")


def resolve(config: RunConfig) -> RunConfig:
    """Return the configuration with every `auto` decided but the sensor's, which is the source's to decide.

    SuperPoint is taken where its weights ship with slamfront, since those may be used freely; ORB otherwise, and a line
    in the log says so. Raises ConfigError for choices that exclude each other.
    """
    packaged = packaged_weights()
    extractor, matcher, device = config.extractor.kind, config.matcher.kind, config.device
    if extractor == "auto":
        extractor = "superpoint" if config.extractor.weights in packaged else "orb"
        if extractor == "orb":
            log.info("no SuperPoint weights that may be used freely are installed: ORB finds the keypoints")
    if matcher == "auto":
        # A matcher knows the descriptors of the weights that it was trained with
        own = extractor == "superpoint" and config.extractor.weights in packaged
        matcher = next((kind for kind in _LEARNED_MATCHERS if own and kind in packaged), "nearest")
    if matcher != "nearest" and extractor != "superpoint":
        raise ConfigError(f"matcher.kind {matcher} needs extractor.kind superpoint, not {extractor}")
    if device == "auto":
        device = _best_device() if "superpoint" in (extractor, matcher) or matcher != "nearest" else "cpu"
    return replace(
        config,
        device=device,
        extractor=replace(config.extractor, kind=extractor),
        matcher=replace(config.matcher, kind=matcher),
    )


def build_source(spec: str, config: RunConfig) -> Source:
    """Return the source that `spec` names; a threaded run reads ahead by itself.

    Raises SourceError, and CalibrationError when its calibration is missing or does not fit.
    """
    prepared = replace(config.source, prefetch=0) if config.threads else config.source
    return open_source(spec, prepared, config.sensor)


def build_extractor(config: RunConfig) -> Extractor:
    """Return the extractor of a resolved configuration; WeightsError when its weights are missing."""
    if config.extractor.kind == "superpoint":
        from slamfront.features.superpoint import SuperPointExtractor

        return SuperPointExtractor(config.extractor, config.device)
    return Sift(config.extractor) if config.extractor.kind == "sift" else Orb(config.extractor)


def build_matcher(config: RunConfig) -> Matcher:
    """Return the matcher of a resolved configuration; WeightsError when its weights are missing."""
    if config.matcher.kind == "lightglue":
        from slamfront.matching.lightglue import LightGlueMatcher

        return LightGlueMatcher(config.matcher, config.device)
    if config.matcher.kind == "superglue":
        from slamfront.matching.superglue import SuperGlueMatcher

        return SuperGlueMatcher(config.matcher, config.device)
    return Nearest(config.matcher.ratio)


def build_front(config: RunConfig, camera: Camera, sensor: Sensor, adjuster: Adjuster) -> FrontEnd:
    """Return the front end of a resolved configuration, with the number of threads and the seeds set for it."""
    cv2.setRNGSeed(config.seed)
    if config.device == "cuda" or config.extractor.kind == "superpoint":
        import torch

        torch.manual_seed(config.seed)
    return FrontEnd(config, camera, sensor, build_extractor(config), build_matcher(config), adjuster)


@contextmanager
def adjuster_of(config: RunConfig) -> Iterator[FinishingAdjuster]:
    """Give the adjuster of a configuration: in its own process for a threaded run, which ends with the block."""
    if config.backend.kind == "none":
        yield NoAdjuster()
    elif config.threads:
        with RemoteBackend(config.backend) as backend:
            yield ThreadedAdjuster(backend)
    else:
        yield InlineAdjuster(local_backend(config.backend))


def whole_map_backend(config: RunConfig) -> WholeMapBackend | None:
    """Return what makes the backend of the last adjustment, in its own process for a threaded run; None without one."""
    if not config.backend.final or config.backend.kind == "none":
        return None
    final = for_whole_map(config.backend)
    return (lambda: RemoteBackend(final)) if config.threads else (lambda: nullcontext(local_backend(final)))


@contextmanager
def audience_of(config: RunConfig, title: str) -> Iterator[Audience]:
    """Give who watches the run, on the main thread: a window, a recording, both or nobody.

    A window that cannot open is told in a warning, and the run goes on without it. Raises OutputError or ViewerError
    for a recording that cannot be written.
    """
    controls = Controls()
    viewers: list[ClosableViewer] = []
    if config.viewer.kind == "open3d":
        viewers += _window(controls, title)
    window = bool(viewers)
    if config.viewer.record is not None:
        from slamfront.viewer.offscreen import Recorder

        viewers.append(Recorder(config.viewer.record))
    viewer: ClosableViewer = Several([Guarded(one) for one in viewers]) if viewers else NullViewer()
    interval_s = 0.0 if config.viewer.record is not None else _WINDOW_INTERVAL_S if viewers else None
    try:
        yield Audience(viewer, interval_s, controls, window)
    finally:
        viewer.close()


def _window(controls: Controls, title: str) -> list[ClosableViewer]:
    from slamfront.viewer.open3d import Window

    try:
        return [Window(controls, title)]
    except ViewerError as error:
        log.warning("no window: %s; the run goes on without it", error)
        return []


def _best_device() -> Literal["cpu", "cuda"]:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

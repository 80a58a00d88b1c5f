"""The only place that turns configuration into objects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2

from slamfront.backend import MapSolver, for_whole_map, local_backend
from slamfront.backend.remote import RemoteBackend
from slamfront.config import RunConfig
from slamfront.errors import ConfigError, MapFileError, ViewerError
from slamfront.features.classical import Orb, Sift
from slamfront.frontend import FrontEnd
from slamfront.geometry.camera import Camera
from slamfront.map import KeyframeMap
from slamfront.map.files import MapHeader, check_fits, load_map, save_map
from slamfront.map.places import Vocabulary, packaged_vocabulary
from slamfront.matching.nearest import Nearest
from slamfront.models.weights import packaged_weights
from slamfront.pipeline import Audience, Disabled, InlineWorker, ThreadedWorker
from slamfront.pipeline.session import WholeMapBackend
from slamfront.protocols import Extractor, LoopClosingSolver, Matcher, Source, Workers
from slamfront.sinks.trajectory import numbered
from slamfront.sources.guess import open_source
from slamfront.types import Sensor
from slamfront.viewer.controls import Controls
from slamfront.viewer.null import NullViewer
from slamfront.viewer.wrappers import ClosableViewer, Guarded, Several

log = logging.getLogger(__name__)

_WINDOW_INTERVAL_S = 0.1
_TRAINED_ON = {
    ("superpoint", "superpoint-lite", "lightglue"): "lightglue-lite",
    ("superpoint", "superpoint", "lightglue"): "lightglue",
    ("superpoint", "superpoint", "superglue"): "superglue",
}
"""For an extractor, its weights and a matcher: the weights of that matcher that learned on such features."""
_NETWORKS = ("superpoint", "dedode")
"""Extractors that run networks."""
_BETTER_THAN_NEAREST = ("lightglue-lite",)
"""With these fewer frames are lost than with nearest neighbours; the official sizes lose as many, and take longer."""


def resolve(config: RunConfig) -> RunConfig:
    """Return the configuration with every `auto` decided but the sensor's, which is the source's to decide.

    SuperPoint is taken where its weights ship with slamfront, since those may be used freely; ORB otherwise, and a line
    in the log says so. LightGlue is taken where weights ship that learned on the extractor's features, and that track
    better than nearest neighbours. Raises ConfigError for choices that exclude each other.
    """
    if config.localize_only and config.load_map is None:
        raise ConfigError("localize_only needs a map to localise in: give load_map (--load-map FILE)")
    if config.localize_only and config.save_map is not None:
        raise ConfigError("localize_only never changes the map, so that save_map would write what is there already")
    packaged = packaged_weights()
    extractor, matcher, device = config.extractor.kind, config.matcher.kind, config.device
    if extractor == "auto":
        extractor = "superpoint" if config.extractor.weights in packaged else "orb"
        if extractor == "orb":
            log.info("no SuperPoint weights that may be used freely are installed: ORB finds the keypoints")
    if matcher == "auto" and extractor == "dedode" and config.extractor.descriptor == "dedode":
        matcher = "dual-softmax"
    if matcher == "auto":
        learned = _TRAINED_ON.get((extractor, config.extractor.weights, "lightglue"))
        matcher = "lightglue" if learned in packaged and learned in _BETTER_THAN_NEAREST else "nearest"
    # A matcher knows the descriptors of the weights that it was trained with
    own = _TRAINED_ON.get((extractor, config.extractor.weights, matcher), "")
    matcher_weights = config.matcher.weights or own
    if matcher in ("superglue", "lightglue") and extractor != "superpoint":
        raise ConfigError(f"matcher.kind {matcher} needs extractor.kind superpoint, not {extractor}")
    if matcher == "dual-softmax" and extractor == "orb":
        raise ConfigError("matcher.kind dual-softmax needs descriptors of floats, and orb's are bits")
    if device == "cuda" and _best_device() != "cuda":
        raise ConfigError("device is cuda, but PyTorch finds no CUDA here: use cpu or auto")
    if device == "auto":
        device = _best_device() if extractor in _NETWORKS or matcher != "nearest" else "cpu"
    return replace(
        config,
        device=device,
        extractor=replace(config.extractor, kind=extractor),
        matcher=replace(config.matcher, kind=matcher, weights=matcher_weights),
        backend=replace(config.backend, kind="none") if config.localize_only else config.backend,
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
    if config.extractor.kind == "dedode":
        return _build_composed(config)
    return Sift(config.extractor) if config.extractor.kind == "sift" else Orb(config.extractor)


def _build_composed(config: RunConfig) -> Extractor:
    """Return keypoints of one kind with descriptors of another."""
    from slamfront.features.composed import Composed, KeypointsOf
    from slamfront.features.dedode import DeDoDeDescriber, DeDoDeKeypoints

    chosen = config.extractor
    found: Extractor | None = None
    if chosen.detector != "dedode":
        found = build_extractor(replace(config, extractor=replace(chosen, kind=chosen.detector)))
    detector = DeDoDeKeypoints(chosen, config.device) if found is None else KeypointsOf(found)
    if chosen.descriptor == "dedode":
        return Composed(detector, DeDoDeDescriber(chosen, config.device))
    from slamfront.features.superpoint import SuperPointExtractor

    return Composed(detector, SuperPointExtractor(chosen, config.device))


def build_matcher(config: RunConfig) -> Matcher:
    """Return the matcher of a resolved configuration; WeightsError when its weights are missing."""
    if config.matcher.kind == "lightglue":
        from slamfront.matching.lightglue import LightGlueMatcher

        return LightGlueMatcher(config.matcher, config.device)
    if config.matcher.kind == "superglue":
        from slamfront.matching.superglue import SuperGlueMatcher

        return SuperGlueMatcher(config.matcher, config.device)
    if config.matcher.kind == "dual-softmax":
        from slamfront.matching.dual_softmax import DualSoftmax

        return DualSoftmax(config.matcher, config.device)
    return Nearest(config.matcher.ratio)


def build_parts(config: RunConfig) -> tuple[Extractor, Matcher]:
    """Return extractor and matcher of a resolved configuration; WeightsError when weights are missing."""
    return build_extractor(config), build_matcher(config)


def build_front(
    config: RunConfig,
    camera: Camera,
    sensor: Sensor,
    workers: Workers,
    parts: tuple[Extractor, Matcher] | None = None,
) -> FrontEnd:
    """Return the front end of a resolved configuration, with the seeds set for it, in the map that it names.

    `parts` are extractor and matcher, where they have been built already. Raises MapFileError for a map that cannot be
    used, WeightsError when weights are missing.
    """
    cv2.setRNGSeed(config.seed)
    if config.device == "cuda" or config.extractor.kind in _NETWORKS:
        import torch

        torch.manual_seed(config.seed)
    extractor, matcher = parts or build_parts(config)
    # What a loop or a joint does to the map cannot be undone: the matcher that says yes less often decides
    places, world = Nearest(config.matcher.ratio), _loaded_map(config, camera, sensor)
    return FrontEnd(config, camera, sensor, extractor, matcher, workers, world, places)


def write_map(world: KeyframeMap, path: Path, config: RunConfig, sensor: Sensor) -> None:
    """Write a map that a resolved configuration made; raises OutputError."""
    save_map(world, path, _header(config, sensor))


def write_maps(
    maps: Mapping[int, KeyframeMap], main: KeyframeMap, path: Path, config: RunConfig, sensor: Sensor
) -> list[Path]:
    """Write the maps of a run that hold keyframes, and return where they are; raises OutputError.

    The main map goes to `path`, others beside it: map 1 of `room.map` to `room-1.map`. A run that was given a map
    writes what became of that to `path`, so that it is never replaced by another place.
    """
    first = maps[0] if config.load_map is not None and 0 in maps else main
    written = []
    for number, world in maps.items():
        if world.keyframes:
            written.append(path if world is first else numbered(path, number))
            write_map(world, written[-1], config, sensor)
    return written


@contextmanager
def workers_of(config: RunConfig) -> Iterator[Workers]:
    """Give the workers of a configuration, which end with the block: for a threaded run in processes of their own."""
    if config.backend.kind == "none":
        yield Workers(Disabled())
        return
    full = for_whole_map(config.backend)
    if not config.threads:
        solver: LoopClosingSolver = MapSolver(local_backend(full))
        loop_closing = InlineWorker(solver, "loop closing") if config.loops.enabled else None
        yield Workers(InlineWorker(local_backend(config.backend)), loop_closing)
        return
    with ExitStack() as stack:
        bundle_adjustment = stack.enter_context(_remote_worker(RemoteBackend(config.backend), "bundle adjustment"))
        if not config.loops.enabled:
            yield Workers(bundle_adjustment)
            return
        # Most runs close no loop
        deferred = RemoteBackend(full, deferred=True)
        yield Workers(bundle_adjustment, stack.enter_context(_remote_worker(deferred, "loop closing")))


@contextmanager
def _remote_worker(backend: RemoteBackend, name: str) -> Iterator[ThreadedWorker[Any, Any]]:
    """Give the worker of a backend, which ends with the worker's thread; a run that is broken off waits for neither."""
    worker: ThreadedWorker[Any, Any] = ThreadedWorker(backend, name, on_exit=backend.close)
    try:
        yield worker
    finally:
        worker.close()
        backend.close()
        worker.join()


def whole_map_backend(config: RunConfig) -> WholeMapBackend | None:
    """Return what makes the solver of the last full bundle adjustment, for a threaded run in its own process; None
    where there is to be none.
    """
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


def _loaded_map(config: RunConfig, camera: Camera, sensor: Sensor) -> KeyframeMap | None:
    path = config.load_map
    if path is None:
        return None
    world, header = load_map(path)
    used = camera if sensor != "mono" else replace(camera, baseline_m=None)
    check_fits(path, world, header, _header(config, sensor), used)
    if not world.keyframes:
        raise MapFileError(f"{path} holds no keyframes: there is nothing to find in it")
    return world


def _header(config: RunConfig, sensor: Sensor) -> MapHeader:
    """Return what a map of this configuration is made with; learned features are told by their weights' content.

    Whoever found the keypoints, features are compared by their descriptors.
    """
    extractor = config.extractor
    features: str = extractor.descriptor if extractor.kind == "dedode" else extractor.kind
    if features == "superpoint":
        features = _features_of(extractor.weights)
    elif features == "dedode":
        features = _features_of(extractor.descriptor_weights, "dedode")
    return MapHeader.now(sensor, features, config.matcher.kind)


def _features_of(weights: str, kind: str = "superpoint") -> str:
    """Return what a map's header calls the features of a network's weights."""
    from slamfront.models.checkpoints import load_network
    from slamfront.models.digests import digest_of

    return f"{kind} {digest_of(load_network(weights))}"


def vocabulary_for(features: str) -> Vocabulary | None:
    """Return the vocabulary that ships for the features that a map's header names, or None."""
    if not features.startswith("superpoint "):
        return packaged_vocabulary(features)
    names = (name for name in packaged_weights() if packaged_vocabulary(name) is not None)
    return next((packaged_vocabulary(name) for name in names if _features_of(name) == features), None)


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

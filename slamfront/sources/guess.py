"""One text names any source of frames; the kind of a folder is told from what lies in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slamfront.config import SourceConfig
from slamfront.errors import SourceError
from slamfront.protocols import Source
from slamfront.sources.euroc import is_euroc, open_euroc
from slamfront.sources.kitti import find_kitti, is_kitti, open_kitti
from slamfront.sources.recording import Recording, SensorChoice
from slamfront.sources.rectify import rectify_recording
from slamfront.sources.tum import is_tum, open_tum
from slamfront.sources.wrappers import prefetched, resized, taken

_FOLDERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, SensorChoice, Path | None], Recording]], ...] = (
    (is_tum, open_tum),
    (is_euroc, open_euroc),
    (is_kitti, open_kitti),
)


def open_source(spec: str, config: SourceConfig = SourceConfig(), sensor: SensorChoice = "auto") -> Source:
    """Return the source that `spec` names, with ideal pinhole frames, prepared as `config` says.

    Raises SourceError when there is no such source, CalibrationError when its calibration is missing or does not fit.
    """
    source = _open(spec, config, sensor)
    source = taken(source, config.start, config.end, config.stride)
    if isinstance(source, Recording):
        source = rectify_recording(source)
    if config.width is not None:
        source = resized(source, config.width)
    return prefetched(source, config.prefetch)


def _open(spec: str, config: SourceConfig, sensor: SensorChoice) -> Source:
    if spec.startswith("synthetic:"):
        from slamfront.sources.synthetic import SyntheticSource

        return SyntheticSource(spec.partition(":")[2], sensor)
    path = Path(spec).expanduser()
    if not path.exists() and find_kitti(path) is None:
        raise SourceError(f"{spec} does not exist")
    for fits, opener in _FOLDERS:
        if fits(path):
            return opener(path, sensor, config.calibration)
    return open_kitti(path, sensor, config.calibration)

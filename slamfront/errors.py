"""Every error that slamfront raises on purpose.

SlamfrontError              root: one line for the user, exit code 2 on the command line
├── ConfigError             an unknown key, a value of the wrong type, choices that exclude each other
├── CalibrationError        a calibration that cannot be read, or belongs to another resolution
├── SourceError             a dataset, video or camera that cannot be opened, or ended early
│   └── FrameError          one frame that cannot be used: it is skipped and counted
├── WeightsError            a checkpoint that is missing, foreign or damaged
├── MapError                a map operation that is refused
│   └── MapFileError        a map file that is damaged, foreign, or made with other features or another camera
├── BackendError            an optimisation that failed, or whose process was lost
├── ViewerError             no display, or a graphics library that does not load
├── OutputError             a folder that cannot be written, a full disk
├── EvaluationError         trajectories that cannot be compared
└── TrainingError           a recipe or training data that cannot be used
"""

from __future__ import annotations


class SlamfrontError(Exception):
    """Root of the errors that slamfront raises on purpose; its text is one line meant for the user."""


class ConfigError(SlamfrontError):
    """A configuration that is refused: the text names the key and what it may be."""


class CalibrationError(SlamfrontError):
    """A calibration that cannot be read or does not fit the frames."""


class SourceError(SlamfrontError):
    """A source of frames that cannot be opened or has ended before its time."""


class FrameError(SourceError):
    """One frame that cannot be used; sources skip it and count it."""


class WeightsError(SlamfrontError):
    """A checkpoint that is missing, damaged or made for another network."""


class MapError(SlamfrontError):
    """A map operation that is refused."""


class MapFileError(MapError):
    """A map file that is missing, damaged, foreign, or does not fit this run: the text tells which."""


class BackendError(SlamfrontError):
    """An optimisation that failed, or whose process was lost."""


class ViewerError(SlamfrontError):
    """A viewer that cannot open: no display, or a system library is missing."""


class OutputError(SlamfrontError):
    """Results that cannot be written."""


class EvaluationError(SlamfrontError):
    """Trajectories or matches that cannot be compared."""


class TrainingError(SlamfrontError):
    """A training recipe, or its data, that cannot be used."""

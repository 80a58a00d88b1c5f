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

from collections.abc import Iterator
from contextlib import contextmanager

OK, USER_ERROR, NOTHING_TRACKED, INTERRUPTED = 0, 2, 3, 130
"""Exit codes of the command line; a signal that ended it has 128 and its number."""

MOST_CHARACTERS = 200
"""Longest text that is taken over from an error of a library, or from a file."""


def one_line(text: object) -> str:
    """Return a text on one line, with what a terminal would obey, or show as something else, written out."""
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in words)


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text of at most `most` characters, whose middle is left out where it is longer."""
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 3]}...{text[-tail:]}"


class SlamfrontError(Exception):
    """Root of the errors that slamfront raises on purpose; its text is one line meant for the user."""

    def __str__(self) -> str:
        return one_line(super().__str__())


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


@contextmanager
def refused_as(kind: type[SlamfrontError], what: object, told: bool = True) -> Iterator[None]:
    """Turn whatever the block raises into an error of one kind, in one line of at most MOST_CHARACTERS.

    A parser of damaged data fails wherever it happens to be, with any exception: a list of those to expect is never
    complete. Errors of slamfront pass, and so does what is not an Exception, such as KeyboardInterrupt. `what` begins
    the text, as in "room.yaml cannot be read"; what was raised follows where it is to be told.
    """
    try:
        yield
    except SlamfrontError:
        raise
    except Exception as error:
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, KeyError):
            cause = f"the key {error} is missing"
        name = shortened(one_line(what), 3 * MOST_CHARACTERS // 4 if told else MOST_CHARACTERS)
        told_cause = f": {shortened(one_line(cause), MOST_CHARACTERS - 2 - len(name))}" if told else ""
        raise kind(f"{name}{told_cause}") from error

"""The command line: finds the command, and is the one place that turns errors into exit codes.

Each command is a module of `slamfront.commands` with a `main(arguments)`, loaded when it is called, so that help is
there at once.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

from slamfront import __version__
from slamfront.errors import INTERRUPTED, OK, USER_ERROR, ConfigError, SlamfrontError
from slamfront.streams import forgiving_streams

COMMANDS = {
    "demo": "run on the sequence that comes along, offline, and draw what came out",
    "run": "follow the camera of a dataset, video or live camera, and map what it sees",
    "eval": "compare a trajectory with the true one",
    "eval-features": "measure keypoints, matches and homographies, and compare extractors in one report",
    "eval-matching": "measure matches, homographies, relative poses and time, and compare matchers in one report",
    "bench": "run many sequences, several times or against the marks they have, and write one report",
    "map": "tell what is in map files, merge two, or write one for other programs",
    "label": "find the keypoints of photographs, for training",
    "train": "train a network from a recipe",
    "weights": "list, fetch and check the weights of the networks",
    "doctor": "tell what this machine can do, and what is missing",
    "config": "print a configuration as YAML, with all its defaults",
}
"""What each command is for."""

_RESULTS_ELSEWHERE = ("bench", "demo", "label", "run", "train")
"""Commands whose results are files: what they print is only about them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns what it returns, 0 for nothing, 2 after an error of the user's making, told in one line on
    stderr, or 3 for a run that tracked nothing.

    Printing decides nothing: where a pipe is closed or a disk is full behind stdout or stderr, the command goes on. One
    whose result is what it prints then ends with 2, unless the reader did not want more, as with `| head`.
    """
    # Small matrices gain nothing from BLAS threads, which only take the cores from the other stages
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A network's threads that wait for each other by spinning for long keep the core which the one waited for needs
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    words = list(sys.argv[1:] if arguments is None else arguments)
    _log_to_stderr()
    with forgiving_streams() as streams:
        code = _code_of(words)
        failure = streams.failure
        if code == OK and failure is not None and words[:1] and words[0] not in _RESULTS_ELSEWHERE:
            print(f"slamfront: error: cannot write to standard output: {failure.strerror}", file=sys.stderr)
            code = USER_ERROR
    return code


def _code_of(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except SlamfrontError as error:
        print(f"slamfront: error: {_one_line(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as stop:
        print("slamfront: interrupted", file=sys.stderr)
        return 128 + getattr(stop, "number", INTERRUPTED - 128)


def usage() -> str:
    """Return the help of the command line as a whole."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        [
            "usage: slamfront COMMAND ...",
            "",
            "Visual odometry and SLAM: frames in; trajectory, map and factors out.",
            "",
            *lines,
            "",
            "`slamfront COMMAND --help` tells more, `slamfront --version` the version.",
        ]
    )


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return OK
    if words[0] == "--version":
        print(f"slamfront {__version__}")
        return OK
    if words[0] not in COMMANDS:
        raise ConfigError(f"there is no command '{words[0]}': use one of {', '.join(COMMANDS)}")
    command = importlib.import_module(f"slamfront.commands.{words[0].replace('-', '_')}")
    answer: int | None = command.main(words[1:])
    return OK if answer is None else answer


def _one_line(error: SlamfrontError) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Stderr(logging.Handler):
    """Writes what slamfront's rooms tell to whatever stderr is at that time: a progress display may be in between."""

    def emit(self, record: logging.LogRecord) -> None:
        mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"slamfront: {mark}{record.getMessage()}", file=sys.stderr)


def _log_to_stderr() -> None:
    logger = logging.getLogger("slamfront")
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())
    logger.setLevel(logging.INFO)
    logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())

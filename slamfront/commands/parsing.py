"""Command lines from dataclasses, and their mistakes as one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro.conf import FlagCreatePairsOff, arg

from slamfront.config import RunConfig, check_ranges, load
from slamfront.errors import ConfigError

T = TypeVar("T")

Flag = Annotated[bool, FlagCreatePairsOff]
"""A switch that is off unless it is given."""

_FRAME = re.compile(r"[╭╮╰╯│|]")
_RULE = re.compile(r"[-─ ]*")


@dataclass(frozen=True)
class Settings:
    """The configuration of a run, from a file and from options that override it."""

    config: Path | None = None
    """YAML file with what differs from the defaults; the options override it."""
    run: Annotated[RunConfig, arg(name="")] = field(default_factory=RunConfig)


def parse(kind: type[T], arguments: Sequence[str], command: str, default: T | None = None) -> T:
    """Return the dataclass `kind` made from command-line arguments; ConfigError in one line for a mistake in them.

    command   name in the usage, such as `run`
    default   values of what is not given, where they are not the fields' own

    Prints the help and ends the program (SystemExit 0) for `--help`.
    """
    printed = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(printed):
            given = tyro.cli(kind, args=list(arguments), prog=f"slamfront {command}", **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_mistake(printed.getvalue(), command)) from None
    check_ranges(given)
    return given


def settings_of(arguments: Sequence[str]) -> Settings:
    """Return the settings that the file after `--config` gives, before any option overrides them."""
    words = list(arguments)
    for index, word in enumerate(words):
        if word == "--":
            break
        name, mark, value = word.partition("=")
        if name == "--config" and (mark or index + 1 < len(words)):
            path = Path(value if mark else words[index + 1])
            return Settings(path, load(path))
    return Settings()


def with_viewer(config: RunConfig, view: bool, headless: bool, record: Path | None) -> RunConfig:
    """Return the configuration with the short options for its viewer applied."""
    if view and headless:
        raise ConfigError("--view and --headless exclude each other")
    viewer = config.viewer
    if view or headless:
        viewer = replace(viewer, kind="open3d" if view else "none")
    return replace(config, viewer=viewer if record is None else replace(viewer, record=record))


def _mistake(printed: str, command: str) -> str:
    """Return what the parser found wrong, and what it suggests, as one line."""
    title, *lines = [_FRAME.sub(" ", line).strip() for line in printed.splitlines() if line.strip()] or [
        "wrong options"
    ]
    parts: list[list[str]] = [[]]
    for line in lines:
        if _RULE.fullmatch(line):
            parts.append([])
        else:
            parts[-1].append(line)
    parts = [part for part in parts if part] or [[title]]
    found = " ".join(" ".join(parts[0]).split())
    near = [line for part in parts[1:] for line in part if line.startswith("--")]
    if "nrecognized" in found and near:
        found += f": did you mean {near[0].split()[0]}?"
    return f"{found} (see slamfront {command} --help)"

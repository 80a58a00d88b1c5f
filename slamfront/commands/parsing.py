"""Command lines from dataclasses, and their mistakes as one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin

import tyro
from tyro.conf import FlagCreatePairsOff, arg

from slamfront.config import RunConfig, base_of, check_ranges, from_mapping, hints_of, is_expert, load, to_mapping
from slamfront.errors import ConfigError
from slamfront.reading import load_yaml

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

    Prints the help and ends the program (SystemExit 0) for `--help`, which leaves out the sections for experts.
    """
    words, numbers = _without_expert_options(arguments) if _has_settings(kind) else (list(arguments), {})
    printed = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(printed):
            given = tyro.cli(kind, args=words, prog=f"slamfront {command}", **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_mistake(printed.getvalue(), command)) from None
    check_ranges(given)
    return _with_numbers(given, numbers) if numbers else given


def _has_settings(kind: Any) -> bool:
    """Return whether a command takes the configuration of a run."""
    return kind is Settings or (is_dataclass(kind) and any(base_of(h) is Settings for h in hints_of(kind).values()))


def _expert_sections(kind: Any, path: str = "") -> dict[str, Any]:
    """Return the sections for experts in a class of settings and those below, by their dotted paths."""
    found: dict[str, Any] = {}
    for name, hint in hints_of(kind).items():
        if is_dataclass(base_of(hint)):
            found |= {f"{path}{name}": base_of(hint)} if is_expert(hint) else {}
            found |= _expert_sections(base_of(hint), f"{path}{name}.")
    return found


def _without_expert_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments without options of sections for experts, such as `--tracker.pose.correlation 2`, and the
    values of these by their dotted paths. Raises ConfigError for one without a value.
    """
    sections, rest, numbers = _expert_sections(RunConfig), list(arguments), dict[str, Any]()
    kept: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*kept, word, *rest], numbers
        option, mark, value = word.partition("=")
        path = option.removeprefix("--").replace("-", "_")
        section, _, name = path.rpartition(".")
        if not option.startswith("--") or section not in sections:
            kept.append(word)
            continue
        values = [value] if mark else [rest.pop(0)] if rest and not rest[0].startswith("--") else []
        several = get_origin(hints_of(sections[section]).get(name)) is tuple
        while several and rest and not rest[0].startswith("-"):
            values.append(rest.pop(0))
        if not values:
            raise ConfigError(f"{option} needs a value")
        read = [load_yaml(text, ConfigError, Path(option)) for text in values]
        numbers[path] = read if several else read[0]
    return kept, numbers


def _with_numbers(given: T, numbers: dict[str, Any]) -> T:
    """Return the options of a command with other values in sections for experts."""
    if not isinstance(given, Settings):
        name = next(name for name, hint in hints_of(type(given)).items() if base_of(hint) is Settings)
        return replace(given, **{name: _with_numbers(getattr(given, name), numbers)})  # type: ignore[type-var]
    mapping = to_mapping(given.run)
    for path, value in numbers.items():
        *sections, name = path.split(".")
        section = mapping
        for key in sections:
            section = section[key]
        section[name] = value
    return replace(given, run=from_mapping(RunConfig, mapping))


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

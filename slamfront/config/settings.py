"""The base of settings: frozen dataclasses whose values have their field's type and lie in the range beside it.

A YAML file or command-line options override defaults; an unknown key is an error that names the nearest known one.
Every number has a range beside it, which holds however the number came: from a file, an option or a program. What is
out of it has no meaning, or asks for more memory or time than any machine has.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import types
import typing
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from annotated_types import Interval
from tyro.conf import Suppress

from slamfront.errors import ConfigError
from slamfront.reading import brief

T = TypeVar("T")

Share = Annotated[float, Interval(ge=0, le=1)]
"""A part of a whole."""
Count = Annotated[int, Interval(ge=0, le=10**9)]
"""How many, with no limit but that of what is counted."""
Several = Annotated[int, Interval(ge=1, le=1000)]
"""How many of what each takes time or memory."""
Pixels = Annotated[float, Interval(ge=0.01, le=1000)]
"""A distance in an image, px."""
Ratio = Annotated[float, Interval(ge=0.01, le=100)]
"""One thing over another."""
Degrees = Annotated[float, Interval(ge=0.01, le=180)]
"""An angle."""

Expert = Suppress  # type: ignore[type-arg]
"""Marks sections whose numbers seldom need to be set: `--help` leaves them out, files and options may name them."""


class Settings:
    """Base of settings: whatever makes one, each value has its field's type and is within its field's range.

    `section` is the dotted path of a class in the whole configuration, by which errors name its keys. A path may be
    given as text. Raises ConfigError.
    """

    section: ClassVar[str] = ""

    def __init_subclass__(cls, section: str = "") -> None:
        cls.section = section

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            value = _convert(hint, getattr(self, name), f"{self.section}.{name}".lstrip("."))
            object.__setattr__(self, name, value)


def from_mapping(kind: type[T], values: Any, where: str = "") -> T:
    """Return the dataclass `kind` made from nested mappings such as a YAML file gives.

    Raises ConfigError naming the key: unknown (with the nearest known one), of the wrong type, out of its range, or not
    one of the choices. `where` is the dotted path of `values` in the whole configuration.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'the configuration'} must be a mapping of keys to values, got {brief(values)}")
    hints = hints_of(kind)
    for key in values:
        if key not in hints:
            name = key if isinstance(key, str) else brief(key)
            raise ConfigError(_unknown_key(f"{where}.{name}".lstrip("."), name, list(hints)))
    converted = {key: _convert(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in values.items()}
    try:
        return kind(**converted)
    except TypeError as error:
        raise ConfigError(f"{where or 'the configuration'}: {error}") from error


def hints_of(kind: Any) -> dict[str, Any]:
    """Return the annotated type of each field of a dataclass, with its range."""
    return _hints_of(kind)


@functools.cache
def _hints_of(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def to_mapping(config: Any, expert: bool = True) -> dict[str, Any]:
    """Return nested plain mappings of a config dataclass, fit for YAML; the inverse of `from_mapping`.

    Without `expert`, sections for experts whose values are the defaults are left out.
    """
    values = {name: getattr(config, name) for name in hints_of(type(config))}
    usual = [
        name for name, hint in hints_of(type(config)).items() if is_expert(hint) and values[name] == base_of(hint)()
    ]
    return {name: _plain(value, expert) for name, value in values.items() if expert or name not in usual}


def is_expert(hint: Any) -> bool:
    """Return whether an annotated type is a section of numbers that seldom need to be set."""
    return Expert in getattr(hint, "__metadata__", ())


def base_of(hint: Any) -> Any:
    """Return the type of a field without its range and other notes."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _unknown_key(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key '{path[:100]}': {hint}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotated type `hint`, or raise ConfigError naming `where`."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *notes = typing.get_args(hint)
        converted = _convert(base, value, where)
        for note in notes:
            if isinstance(note, Interval):
                _check_range(note, converted, where)
        return converted
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(next(o for o in options if o is not type(None)), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, choices))}, got {brief(value)}")
        return value
    if dataclasses.is_dataclass(hint):
        return (
            value if isinstance(value, typing.cast(type, hint)) else from_mapping(typing.cast(type, hint), value, where)
        )
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, got {brief(value)}")
        return tuple(_convert(typing.get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is Path and isinstance(value, (str, os.PathLike)):
        if "\0" in os.fspath(value):
            raise ConfigError(f"{where} holds a zero byte: no file has such a name")
        return Path(value)
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3, which has no point, for text
        except (TypeError, ValueError, OverflowError):
            pass
    if hint is int and type(value).__module__ == "numpy" and hasattr(value, "__index__"):
        return int(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {hint.__name__}, got {brief(value)}")
    return value


def check_ranges(options: Any) -> None:
    """Raise ConfigError for a number of a command's options that is out of the range beside its field."""
    for name, hint in hints_of(type(options)).items():
        _check_hint(hint, getattr(options, name), f"--{name.replace('_', '-')}")


def _check_hint(hint: Any, value: Any, where: str) -> None:
    if typing.get_origin(hint) is tuple and isinstance(value, tuple):
        for one in value:
            _check_hint(typing.get_args(hint)[0], one, where)
    elif typing.get_origin(hint) in (typing.Union, types.UnionType) and value is not None:
        _check_hint(next(one for one in typing.get_args(hint) if one is not type(None)), value, where)
    elif typing.get_origin(hint) is Annotated:
        for note in typing.get_args(hint)[1:]:
            if isinstance(note, Interval):
                _check_range(note, value, where)


def _check_range(interval: Interval, value: Any, where: str) -> None:
    low, high = interval.ge, interval.le
    if not (low <= value <= high):  # NaN is in no range
        raise ConfigError(f"{where} must be {low} to {high}, got {brief(value)}")


def _plain(value: Any, expert: bool) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value, expert)
    if isinstance(value, Path):
        return str(value)
    return [_plain(one, expert) for one in value] if isinstance(value, tuple) else value

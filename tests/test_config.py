"""Configuration: what is refused and how it is said, and the way through YAML and back."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotated_types import Interval
from hypothesis import given, settings
from hypothesis import strategies as st

from slamfront.config import (
    BackendConfig,
    ExtractorConfig,
    PoseConfig,
    RunConfig,
    SourceConfig,
    TrackerConfig,
    base_of,
    dump,
    from_mapping,
    hints_of,
    is_expert,
    load,
    to_mapping,
)
from slamfront.errors import ConfigError
from slamfront.training.recipe import Recipe


def load_text(text: str, tmp_path: Path) -> RunConfig:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_text("", tmp_path) == RunConfig()
    assert load_text("# only a comment\n", tmp_path) == RunConfig()


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    config = load_text("sensor: stereo\nbackend:\n  window: 7\n", tmp_path)
    assert config == replace(RunConfig(), sensor="stereo", backend=BackendConfig(window=7))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trackr": {}}, "unknown key 'trackr': did you mean 'tracker'?"),
        ({"tracker": {"min_inlier": 3}}, "unknown key 'tracker.min_inlier': did you mean 'min_inliers'?"),
        ({"tracker": {"min-inliers": 3}}, "unknown key 'tracker.min-inliers': did you mean 'min_inliers'?"),
        ({"viewer": {"zzz": 1}}, "unknown key 'viewer.zzz': known keys: kind, record"),
        ({1: 2}, "unknown key '1': known keys: sensor, device"),
        ({"sensor": "lidar"}, "sensor must be one of auto, mono, stereo, rgbd, got 'lidar'"),
        ({"sensor": ["mono"]}, "sensor must be one of auto, mono, stereo, rgbd, got ['mono']"),
        ({"tracker": {"min_inliers": "many"}}, "tracker.min_inliers must be int, got 'many'"),
        ({"tracker": {"min_inliers": 3.5}}, "tracker.min_inliers must be int, got 3.5"),
        ({"tracker": {"min_inliers": True}}, "tracker.min_inliers must be int, got True"),
        ({"tracker": {"min_inliers": None}}, "tracker.min_inliers must be int, got None"),
        ({"tracker": {"max_error_px": "wide"}}, "tracker.max_error_px must be float, got 'wide'"),
        ({"tracker": {"max_error_px": False}}, "tracker.max_error_px must be float, got False"),
        ({"threads": 1}, "threads must be bool, got 1"),
        ({"threads": "yes"}, "threads must be bool, got 'yes'"),
        ({"source": {"calibration": 5}}, "source.calibration must be Path, got 5"),
        ({"source": {"width": "half"}}, "source.width must be int, got 'half'"),
        ({"tracker": 5}, "tracker must be a mapping of keys to values, got 5"),
        ({"tracker": [1]}, "tracker must be a mapping of keys to values, got [1]"),
        ([1, 2], "the configuration must be a mapping of keys to values, got [1, 2]"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(RunConfig, values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_integer_is_a_float_and_none_is_an_absent_option() -> None:
    config = from_mapping(RunConfig, {"tracker": {"max_error_px": 3}, "source": {"end": None, "width": 320}})
    assert isinstance(config.tracker.max_error_px, float)
    assert config.source == SourceConfig(end=None, width=320)


def test_a_float_without_a_point_is_a_float_though_yaml_calls_it_text(tmp_path: Path) -> None:
    assert load_text("extractor: {threshold: 5e-3}\n", tmp_path).extractor.threshold == 0.005


def test_a_missing_required_value_is_a_config_error() -> None:
    @dataclass(frozen=True)
    class Recipe:
        steps: int

    with pytest.raises(ConfigError, match="steps"):
        from_mapping(Recipe, {})


def test_lists_become_tuples_with_every_entry_checked() -> None:
    assert from_mapping(Sizes, {"sizes": [1, 2]}) == Sizes((1, 2))
    assert from_mapping(Sizes, yaml.safe_load(dump(Sizes((4, 5))))) == Sizes((4, 5))
    with pytest.raises(ConfigError, match=r"sizes\[1\] must be int, got 'x'"):
        from_mapping(Sizes, {"sizes": [1, "x"]})
    with pytest.raises(ConfigError, match="sizes must be a list, got 3"):
        from_mapping(Sizes, {"sizes": 3})


@dataclass(frozen=True)
class Sizes:
    sizes: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sensor: [mono\n", "is not valid YAML"),
        (b"\tsensor: mono\n", "is not valid YAML"),
        (b"sensor: \xff\xfe\n", "is not a text file"),
        (b"seed: 2001-99-99\n", "is not valid YAML"),
        (b'seed: !!int ""\n', "is not valid YAML"),
        (b"seed: 0b\n", "is not valid YAML|seed must be int"),
        (b"seed: " + b"1" * 5000, "is not valid YAML"),
        (b"seed: 0x" + b"f" * 9000, "seed must be 0 to 2147483647"),
        (b"[" * 5000, "is not valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        (b"- mono\n", "must be a mapping"),
        (b"sensr: mono\n", "did you mean 'sensor'"),
    ],
)
def test_a_bad_file_is_told_by_name_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read .*absent.yaml: No such file"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot read .*: Is a directory"):
        load(tmp_path)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return what a field of a type may hold, within its range."""
    if dataclasses.is_dataclass(base_of(hint)):
        hint = base_of(hint)
        return st.builds(typing.cast(type, hint), **{name: values_of(kind) for name, kind in hints_of(hint).items()})
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if (interval := interval_of(hint)) is not None and typing.get_origin(hint) is typing.Annotated:
        between = st.integers if typing.get_args(hint)[0] is int else st.floats
        return between(interval.ge, interval.le)  # type: ignore[operator]
    if typing.get_origin(hint) is tuple:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=5).map(tuple)
    if typing.get_args(hint):
        return st.one_of(*map(values_of, typing.get_args(hint)))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        str: st.text(),
        Path: st.text("abc/. ", min_size=1).map(Path),
        type(None): st.none(),
    }
    return simple[hint]


SECTIONS = [field.name for field in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(field.default_factory)]


@pytest.mark.parametrize("section", SECTIONS)
@settings(max_examples=15)
@given(choices=st.data())
def test_every_section_survives_yaml(section: str, choices: st.DataObject) -> None:
    config = RunConfig(**{section: choices.draw(values_of(hints_of(RunConfig)[section]))})
    assert from_mapping(RunConfig, yaml.safe_load(dump(config))) == config


def test_the_dump_names_every_key(tmp_path: Path) -> None:
    mapping = to_mapping(RunConfig())
    assert set(mapping) == {field.name for field in dataclasses.fields(RunConfig)}
    assert load_text(dump(RunConfig()), tmp_path) == RunConfig()


def interval_of(hint: Any) -> Interval | None:
    """Return the range in an annotated type, None where there is none."""
    if isinstance(hint, Interval):
        return hint
    notes = [*getattr(hint, "__metadata__", ()), *typing.get_args(hint)]
    return next((found for note in notes if (found := interval_of(note)) is not None), None)


def numbers(kind: type, path: str = "") -> list[tuple[str, type, Any]]:
    """Return dotted path, class and annotated type of every number in a class of settings and those below."""
    found = []
    for name, hint in hints_of(kind).items():
        if dataclasses.is_dataclass(base_of(hint)):
            found += numbers(base_of(hint), f"{path}{name}.")
        elif any(word in str(hint) for word in ("int", "float")) and "Literal" not in str(hint):
            found.append((f"{path}{name}", kind, hint))
    return found


EXTREMES = [-(2**63), -1, 0, 1, 2**31, 2**63, 10**400, float("nan"), float("inf"), -float("inf"), 1e-300, 1e300]


@pytest.mark.parametrize(
    ("path", "kind", "hint"), [*numbers(RunConfig), *numbers(Recipe)], ids=lambda value: str(value)
)
def test_every_number_has_a_range_that_holds_however_it_comes(path: str, kind: type, hint: Any) -> None:
    interval, name = interval_of(hint), path.rpartition(".")[2]
    assert interval is not None, f"{path} has no range"
    several = "tuple" in str(hint)
    for value in EXTREMES:
        inside = interval.ge <= value <= interval.le  # type: ignore[operator]
        if inside:
            continue
        given_value: Any = (value,) if several else value
        with pytest.raises(ConfigError, match=rf"{re.escape(path)}.* must be ") as caught:
            kind(**{name: given_value})
        assert len(str(caught.value)) <= 200


def test_a_range_is_told_with_the_value() -> None:
    with pytest.raises(ConfigError, match=r"^extractor\.levels must be 1 to 16, got 0$"):
        ExtractorConfig(levels=0)
    with pytest.raises(ConfigError, match=r"^extractor\.levels must be 1 to 16, got 0$"):
        replace(ExtractorConfig(), levels=0)


def test_a_path_may_be_text() -> None:
    assert RunConfig(load_map="room.map").load_map == Path("room.map")  # type: ignore[arg-type]


def test_aliases_that_stand_for_very_much_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="aliases stand for more than"):
        load_text("\n".join(lines), tmp_path)
    with pytest.raises(ConfigError, match="aliases stand for more than"):
        load_text("sensor: &a [*a]", tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    assert load_text("\ufeffseed: 3\n", tmp_path).seed == 3


def sections(kind: type, path: str = "") -> list[tuple[str, Any]]:
    """Return dotted path and annotated type of every section in a class of settings and those below."""
    found = []
    for name, hint in hints_of(kind).items():
        if dataclasses.is_dataclass(base_of(hint)):
            found += [(f"{path}{name}", hint), *sections(base_of(hint), f"{path}{name}.")]
    return found


@pytest.mark.parametrize(("path", "hint"), sections(RunConfig), ids=lambda value: str(value))
def test_every_section_knows_its_path_and_each_of_its_fields_has_a_reason(path: str, hint: Any) -> None:
    kind = base_of(hint)
    assert kind.section == path and kind.__doc__
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    for field, reason in zip(body, [*body[1:], None]):
        if isinstance(field, ast.AnnAssign) and not is_expert(hints_of(kind)[field.target.id]):  # type: ignore[union-attr]
            told = isinstance(reason, ast.Expr) and isinstance(reason.value, ast.Constant)
            assert told, f"{path}.{ast.unparse(field)} has no reason"


def test_sections_for_experts_are_dumped_where_they_are_asked_for_or_differ() -> None:
    config = RunConfig(tracker=TrackerConfig(pose=PoseConfig(correlation=3)))
    mapping = to_mapping(config, expert=False)
    assert mapping["tracker"]["pose"]["correlation"] == 3.0 and "motion" not in mapping["tracker"]
    assert from_mapping(RunConfig, mapping) == config
    assert "motion" in to_mapping(config)["tracker"]

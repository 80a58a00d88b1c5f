"""The house rules: layers, light imports, rooms that run without heavy libraries, and clean tracked files."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import slamfront

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "slamfront"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Rooms by layer; imports go only downwards. A new room gets its place here.
LAYERS = (
    {"errors", "geometry"},
    {"types"},
    {
        "calibration",
        "config",
        "decoder_warnings",
        "descriptors",
        "environment",
        "image_files",
        "image_headers",
        "imaging",
        "jobs",
        "patches",
        "protocols",
        "reading",
        "runtime",
        "streams",
        "trajectories",
        "writing",
    },
    {"evaluation", "map", "models", "simulation", "solve"},
    {"backend", "features", "matching", "sinks", "sources", "tracking", "training", "viewer"},
    {"mapping"},
    {"loop_closing"},
    {"frontend"},
    {"api", "build", "image_matcher", "pipeline"},
    {"__init__", "__main__", "cli", "commands"},
)
LAYER_OF = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
NO_SIBLINGS = (3, 4)  # layers whose rooms never import each other

HEAVY = ("cv2", "gtsam", "open3d", "torch")
# Processor time, which other work on the machine does not lengthen, of an import that a user does not notice.
LIGHT_IMPORT_S = 0.8


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """Return the room of a file: the folder or module right under the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import in a file, wherever in it; `from x import y` also as x.y."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def arrows(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and room of every import of another room of slamfront."""
    for line, module in imported_modules(path):
        parts = module.split(".")
        if parts[0] == "slamfront":
            room = parts[1] if len(parts) > 1 and parts[1] in LAYER_OF else "__init__"
            if room != room_of(path):
                yield line, room


def run_python(code: str) -> str:
    """Return what a fresh interpreter prints for `code`."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_every_room_has_a_layer() -> None:
    homeless = {room_of(path) for path in MODULES} - set(LAYER_OF)
    assert not homeless, f"give these rooms a place in LAYERS: {sorted(homeless)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_only_downwards(path: Path) -> None:
    own = LAYER_OF[room_of(path)]
    for line, room in arrows(path):
        assert LAYER_OF[room] <= own, f"{name_of(path)}:{line} imports {room} of a higher layer"
        sibling = LAYER_OF[room] == own and own in NO_SIBLINGS
        assert not sibling, f"{name_of(path)}:{line} imports its sibling {room}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_package_imports_neither_tests_nor_tools_nor_evo(path: Path) -> None:
    foreign = [module for _, module in imported_modules(path) if module.split(".")[0] in ("evo", "tests", "tools")]
    assert not foreign


def test_an_upward_arrow_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "slamfront")
    path = tmp_path / "slamfront" / "map" / "window.py"
    path.parent.mkdir(parents=True)
    path.write_text("from slamfront import __version__\ndef f():\n    from ..tracking.view import View\n")
    assert list(arrows(path)) == [(1, "__init__"), (3, "tracking")]


@pytest.mark.parametrize("statement", ["import slamfront", "slamfront --help"])
def test_the_entrance_is_light(statement: str) -> None:
    if statement.endswith("--help"):
        if not (PACKAGE / "cli.py").exists() and not (PACKAGE / "cli").exists():
            pytest.skip("there is no command line")
        action = "sys.argv = ['slamfront', '--help']\ntry:\n    from slamfront.cli import main; main()\n"
        action += "except SystemExit as stop:\n    assert not stop.code"
    else:
        action = statement
    report = f"print('', [m for m in {HEAVY} if m in sys.modules], time.process_time(), sep='@')"
    answers = [run_python(f"import sys, time\n{action}\n{report}").rsplit("@", 2) for _ in range(2)]
    assert answers[0][1] == "[]", f"{statement} loads {answers[0][1]}"
    assert min(float(seconds) for _, _, seconds in answers) < LIGHT_IMPORT_S


@pytest.mark.parametrize("room", [room for room in ("models", "simulation", "training") if (PACKAGE / room).exists()])
def test_learning_rooms_run_without_gtsam_and_open3d(room: str) -> None:
    run_python(
        f"""
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("gtsam", "open3d"):
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
room = importlib.import_module("slamfront.{room}")
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
"""
    )


def test_tracked_files_name_no_machine() -> None:
    places = re.compile(
        r"/(?:work|root|tmp|farm|home|Users)/|\.\./shared|pypi\.org|pythonhosted\.org|download\.pytorch"
    )
    found = []
    for path in tracked_files():
        if path.relative_to(ROOT).parts[0] == ".ci" or path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}:{i}" for i, line in enumerate(text.splitlines(), 1) if places.search(line)]
    assert not found


def public_names(path: Path) -> set[str]:
    """Return what a package's `__init__` offers: its functions and classes, and what it takes from its own modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = ".".join(path.parent.relative_to(ROOT).parts)
    names = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith(f"{own}.")):
            names.update(alias.asname or alias.name for alias in node.names)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "__all__" in path.read_text(encoding="utf-8")], ids=name_of
)
def test_all_is_sorted_complete_and_true(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    if path.name == "__init__.py":
        assert not public_names(path) - set(module.__all__)


def test_the_version_is_that_of_the_package_metadata() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    assert declared.group(1) == slamfront.__version__


def test_the_notice_names_every_network_that_ships() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    networks = [path.stem for path in (PACKAGE / "weights").glob("*.md")]
    assert networks and not [name for name in networks if not re.search(rf"\b{name}\b", notice)]

"""What is installed, and what works without it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "open3d":
            raise ModuleNotFoundError("No module named 'open3d'", name="open3d")
sys.meta_path.insert(0, Blocker())
"""


def test_the_list_without_open3d_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = (ROOT / "requirements-robot.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in listed if not line.startswith("#")] == sorted(
        name for name in project["dependencies"] if not name.startswith("open3d")
    )


def test_every_module_loads_and_a_run_works_without_open3d(tmp_path: Path) -> None:
    code = f"""
{BLOCK}
import importlib, pkgutil, slamfront
for module in pkgutil.walk_packages(slamfront.__path__, "slamfront."):
    if "__main__" not in module.name:
        importlib.import_module(module.name)
from slamfront.cli import main
words = ["run", "datasets/sample", "--source.end", "3", "--output", {str(tmp_path / "run")!r}, "--view"]
assert main([*words, "--extractor.kind", "orb", "--record", {str(tmp_path / "frames")!r}]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "the run goes on without it" in done.stderr
    assert len(list((tmp_path / "frames").glob("*.png"))) == 3


def test_a_window_without_open3d_says_how_to_install_it() -> None:
    code = f"{BLOCK}\nfrom slamfront.viewer.open3d import load_open3d\nload_open3d()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "Open3D is not installed: pip install open3d" in done.stderr

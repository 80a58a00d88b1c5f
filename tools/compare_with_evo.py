"""Compare slamfront's figures with those of evo's commands on the same two files.

    python tools/compare_with_evo.py reference.tum estimate.tum
    python tools/compare_with_evo.py poses/00.txt estimate.kitti

evo is called as a command and never imported, since its licence is the GPL. Exit code 1 when a figure differs by more
than the tolerance.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from slamfront.errors import SlamfrontError
from slamfront.evaluation.trajectory.association import Pairs, associate
from slamfront.evaluation.trajectory.errors import Statistics, absolute_error, relative_error
from slamfront.geometry.align import AlignmentKind
from slamfront.trajectories import guess_kind, read_trajectory, write_tum

TOLERANCE = 1e-6
_ALIGN_FLAGS: dict[AlignmentKind, list[str]] = {"se3": ["-a"], "sim3": ["-as"], "none": []}
_RPE_METRES = ["-d", "2", "-u", "m", "--pairs_from_reference"]


def find_evo(command: str) -> str | None:
    """Return the path of an evo command on PATH or beside this Python; None when it is not installed."""
    return shutil.which(command) or shutil.which(command, path=str(Path(sys.executable).parent))


def run_evo(command: str, kind: str, reference: Path, estimate: Path, options: list[str]) -> dict[str, float]:
    """Return the statistics of one evo command, in full precision; RuntimeError with its output when it fails."""
    program = find_evo(command)
    if program is None:
        raise RuntimeError(f"{command} is not installed: pip install evo")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "result.zip"
        arguments = [program, kind, str(reference), str(estimate), *options, "--save_results", str(archive)]
        # evo keeps its settings in the home folder; a fresh one has the defaults and leaves the user's alone
        environment = {**os.environ, "HOME": folder, "USERPROFILE": folder, "MPLBACKEND": "Agg"}
        done = subprocess.run([*arguments, "--no_warnings"], capture_output=True, text=True, env=environment)
        if done.returncode or not archive.exists():
            raise RuntimeError(f"{' '.join(arguments)} failed: {done.stdout}{done.stderr}")
        with zipfile.ZipFile(archive) as results:
            return {name: float(value) for name, value in json.loads(results.read("stats.json")).items()}


def figures(pairs: Pairs) -> Iterator[tuple[str, str, list[str], Statistics]]:
    """Yield a label, the evo command and its options that should give the same, and slamfront's figures."""
    for kind, flags in _ALIGN_FLAGS.items():
        ate = absolute_error(pairs, kind)
        yield f"ATE {kind} m", "evo_ape", flags, ate.translation_m
        if kind == "se3":
            yield "ATE se3 deg", "evo_ape", [*flags, "-r", "angle_deg"], ate.rotation_deg
    for options, step in (
        (["-d", "1", "-u", "f"], relative_error(pairs)),
        (_RPE_METRES, relative_error(pairs, 2.0, "metres", all_pairs=False)),
        ([*_RPE_METRES, "--all_pairs"], relative_error(pairs, 2.0, "metres")),
    ):
        if step is not None:
            label = f"RPE {step.delta:g} {step.unit}{' all pairs' if step.all_pairs else ''}"
            yield f"{label} m", "evo_rpe", options, step.translation_m
            yield f"{label} deg", "evo_rpe", [*options, "-r", "angle_deg"], step.rotation_deg


def compare(reference: Path, estimate: Path, only: str = "", interpolate: bool = False) -> float:
    """Print every figure whose label starts with `only` beside evo's and return the largest difference."""
    kind = guess_kind(reference)
    pairs = associate(read_trajectory(reference), read_trajectory(estimate), interpolate=interpolate)
    worst = 0.0
    for label, command, options, ours in figures(pairs):
        if not label.startswith(only):
            continue
        if interpolate:
            options = [*options, "--sync_method", "interpolation"]
        theirs = run_evo(command, kind, reference, estimate, options)
        for name, value in ours.to_mapping().items():
            difference = abs(value - theirs[name])
            worst = max(worst, difference)
            print(f"{label:<28}{name:<8}{value:>16.9f}{theirs[name]:>16.9f}{difference:>12.1e}")
    return worst


def compare_interpolated(reference: Path, estimate: Path, only: str = "") -> float:
    """Compare as `compare` does, the reference interpolated, on copies whose times count from the reference's start.

    evo keeps times as floats, which hold seconds since 1970 to 0.2 microseconds: at 70 degrees a second that alone is
    1e-5 degrees. It interpolates whichever file has more poses, so the reference must be that one.
    """
    trajectories = read_trajectory(reference), read_trajectory(estimate)
    start_ns = trajectories[0].times_ns[0]
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "reference.tum", Path(folder) / "estimate.tum"
        for path, trajectory in zip(copies, trajectories):
            write_tum(path, replace(trajectory, times_ns=trajectory.times_ns - start_ns))
        return compare(copies[0], copies[1], only, interpolate=True)


def main() -> int:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("estimate", type=Path)
    parser.add_argument("--interpolate", action="store_true", help="interpolate the reference to the estimate's times")
    parser.add_argument("--only", default="", help="compare the figures that start with this, such as 'ATE'")
    options = parser.parse_args()
    print(f"{'figure':<36}{'slamfront':>16}{'evo':>16}{'difference':>12}")
    try:
        chosen = compare_interpolated if options.interpolate else compare
        worst = chosen(options.reference, options.estimate, options.only)
    except (SlamfrontError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"largest difference {worst:.1e}, {'within' if worst <= TOLERANCE else 'ABOVE'} {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())

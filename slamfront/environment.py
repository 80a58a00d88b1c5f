"""What a run depends on besides its configuration; nothing heavy is loaded to tell it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("gtsam", "matplotlib", "numpy", "open3d", "opencv-python", "poselib", "scipy", "torch")
"""Packages whose versions decide results."""


def environment() -> dict[str, str]:
    """Return versions and hardware by name, as a run folder and a report keep them."""
    return {
        "slamfront": version_of("slamfront"),
        "python": platform.python_version(),
        **{name: version for name in PACKAGES if (version := version_of(name))},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": str(available_cores()),
    }


def version_of(package: str) -> str:
    """Return a package's version; empty when it is not installed."""
    for name in (package, f"{package}-headless"):  # OpenCV comes with windows and without
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def peak_memory_mb() -> float | None:
    """Return the most resident memory of this process and its largest ended child, MB; None where it is not told."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(peaks) * unit / 1e6

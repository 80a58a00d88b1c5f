"""Render the small sequence in datasets/sample: TUM layout, a loop in a room, 320x240 at 30 Hz.

    python tools/make_sample.py [FOLDER]

The same sources and the same version of OpenCV write the same files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from slamfront.calibration import write_calibration
from slamfront.simulation import sample_scene
from slamfront.sources.synthetic import SyntheticSource
from slamfront.trajectories import format_seconds, write_tum

_JPEG_QUALITY = 87
_DEPTH_UNITS_PER_M = 5000  # TUM RGB-D's


def main(folder: Path) -> None:
    """Write the sequence into a folder, which is made where it is missing."""
    source = SyntheticSource(sample_scene(), "rgbd")
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lists: dict[str, list[str]] = {"rgb": [], "depth": []}
    for frame in source:
        stamp = format_seconds(frame.time_ns)
        assert frame.depth_m is not None
        colour = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        depth = np.rint(frame.depth_m * _DEPTH_UNITS_PER_M).astype(np.uint16)
        files = {"rgb": f"rgb/{stamp}.jpg", "depth": f"depth/{stamp}.png"}
        cv2.imwrite(str(folder / files["rgb"]), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), colour)
        cv2.imwrite(str(folder / files["depth"]), depth, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        for name, file in files.items():
            lists[name].append(f"{stamp} {file}")
    for name, rows in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(["# timestamp filename", *rows, ""]), encoding="utf-8")
    write_tum(folder / "groundtruth.txt", source.reference)
    write_calibration(folder / "calibration.yaml", source.camera)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {source.length} frames, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "datasets" / "sample")

"""The point cloud, as another program reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import OutputError
from slamfront.sinks.cloud import write_ply

POINTS = np.array([(1.0, 2.0, 3.0), (np.nan, 0.0, 0.0), (-4.5, 0.25, 1e6)])


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return points and colours of a file, read by its own header."""
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    types = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], types[line.split()[1]]) for line in lines if line.startswith("property")]
    vertices = np.frombuffer(body, np.dtype(fields))
    assert f"element vertex {len(vertices)}" in lines
    points = np.column_stack([vertices[axis] for axis in "xyz"])
    return points, np.column_stack([vertices[channel] for channel in ("red", "green", "blue")])


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (np.array([10, 20, 30], np.uint8), [[10, 10, 10], [30, 30, 30]]),
        (np.array([(1, 2, 3), (4, 5, 6), (7, 8, 9)], np.uint8), [[1, 2, 3], [7, 8, 9]]),
    ],
)
def test_finite_points_are_written_with_their_colours(tmp_path: Path, colours: np.ndarray, expected: list) -> None:
    write_ply(tmp_path / "map" / "landmarks.ply", POINTS, colours)
    points, read = read_ply(tmp_path / "map" / "landmarks.ply")
    np.testing.assert_array_equal(points, POINTS[[0, 2]].astype(np.float32))
    assert read.tolist() == expected


def test_an_empty_cloud_is_a_valid_file(tmp_path: Path) -> None:
    write_ply(tmp_path / "landmarks.ply", np.zeros((0, 3)), np.zeros(0, np.uint8))
    points, _ = read_ply(tmp_path / "landmarks.ply")
    assert len(points) == 0


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"landmarks\.ply"):
        write_ply(tmp_path / "file" / "landmarks.ply", POINTS, np.zeros(3, np.uint8))

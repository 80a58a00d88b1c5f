"""Recording of a run as a video or a folder of pictures, on any machine.

The pictures come from the software renderer of `render`: Open3D's offscreen renderer needs Vulkan or EGL drivers, and
on a processor takes about ten times as long for the same picture.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from slamfront.errors import OutputError, ViewerError
from slamfront.types import Image, Snapshot
from slamfront.viewer.picture import PICTURE_SIZE, compose, write_png
from slamfront.viewer.rate import Rate
from slamfront.viewer.scene import Follower
from slamfront.writing import partial_path, write_atomically

VIDEO_FRAMES_PER_S = 30
_MARKER = ".slamfront-recording"


class Recorder:
    """A viewer that records what it is shown.

    A path that ends in `.mp4` gives a video in which time runs as it did before the camera; any other gives a folder
    with a PNG file for each snapshot, `000042.png` for frame 42. Raises ViewerError for another kind of file, and
    OutputError where nothing can be written, at once or by `show` and `close`, or where pictures are that no recording
    made. The video is there when `close` returns.
    """

    def __init__(self, path: Path) -> None:
        path = Path(path)
        if path.suffix not in ("", ".mp4") and not path.is_dir():
            raise ViewerError(f"cannot record to {path}: give a name that ends in .mp4, or a folder")
        self._output: _Video | _Folder = _Video(path) if path.suffix == ".mp4" else _Folder(path)
        self._follower = Follower()
        self._rate = Rate()
        self._last: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> bool:
        """Record one snapshot, unless it is the last one again; always True."""
        if snapshot is not self._last:
            self._last = snapshot
            frames_per_s = self._rate.count(snapshot.frame_id)
            if self._output.wants(snapshot.time_ns):
                self._output.write(snapshot, compose(snapshot, self._follower, frames_per_s))
        return True

    def close(self) -> None:
        """Finish the recording; a second call does nothing."""
        self._output.close()


class _Folder:
    """PNG files, one for each snapshot, in a folder without pictures that are not of a recording."""

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder(path)
        marker = path / _MARKER
        if next(path.glob("*.png"), None) is not None and not marker.is_file():
            raise OutputError(f"{path} holds pictures that no recording made: name another folder")
        write_atomically(marker, "pictures of a run\n")

    def wants(self, time_ns: int) -> bool:
        return True

    def write(self, snapshot: Snapshot, rgb: Image) -> None:
        write_png(self._path / f"{snapshot.frame_id:06d}.png", rgb)

    def close(self) -> None:
        pass


class _Video:
    """An MP4 file, written beside its place and moved there when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, partial_path(path, ".mp4")
        make_folder(path.parent)
        code = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined,unused-ignore]
        self._writer = cv2.VideoWriter(str(self._partial), code, VIDEO_FRAMES_PER_S, PICTURE_SIZE)
        if not self._writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise OutputError(f"cannot write the video {path}: the folder is not writable, or OpenCV lacks a codec")
        self._start_ns: int | None = None
        self._last_ns: int | None = None
        self._count = 0

    def wants(self, time_ns: int) -> bool:
        """Whether a picture is due at a capture time; a camera faster than the video gives too many."""
        return self._due(time_ns) > 0

    def write(self, snapshot: Snapshot, rgb: Image) -> None:
        """Append a picture as often as its time asks for; a gap in time counts as one second at most."""
        due = self._due(snapshot.time_ns)
        copies = min(due, VIDEO_FRAMES_PER_S)
        if self._start_ns is None:
            self._start_ns = snapshot.time_ns
        self._start_ns += (due - copies) * 1_000_000_000 // VIDEO_FRAMES_PER_S
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        for _ in range(copies):
            self._writer.write(bgr)
        self._count += copies

    def close(self) -> None:
        """Complete the file, and look whether it holds every frame: OpenCV does not tell of a full disk."""
        if not self._writer.isOpened():
            return
        self._writer.release()
        try:
            if self._count == 0:
                return
            if _frames_in(self._partial) < self._count:
                raise OutputError(f"the video {self._path} could not be completed: is the disk full?")
            os.replace(self._partial, self._path)
        except OSError as error:
            raise OutputError(f"cannot write the video {self._path}: {error.strerror or error}") from error
        finally:
            self._partial.unlink(missing_ok=True)

    def _due(self, time_ns: int) -> int:
        if self._start_ns is not None and self._last_ns is not None and time_ns < self._last_ns:
            self._start_ns -= self._last_ns - time_ns  # the clock was set back: the film goes on
        self._last_ns = time_ns
        elapsed_ns = 0 if self._start_ns is None else time_ns - self._start_ns
        return elapsed_ns * VIDEO_FRAMES_PER_S // 1_000_000_000 + 1 - self._count


def _frames_in(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


def make_folder(path: Path) -> None:
    """Make a folder and those above it; OutputError when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}") from error

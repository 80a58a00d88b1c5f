"""What libjpeg says of a damaged picture, which it says on standard error alone, while it fills in what is missing."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_WARNING = re.compile(rb"^(?:Corrupt JPEG data|Premature end of JPEG file|Invalid JPEG file structure)[^\n]*\n?", re.M)
_lock = threading.Lock()
_nowhere: list[int] = []


def with_jpeg_warnings(decode: Callable[[], T]) -> tuple[T, str]:
    """Return what `decode` returns, and the first warning of libjpeg while it ran, empty without one.

    OpenCV hands these warnings to nobody, so standard error is looked at for the time of the call; what else was
    written to it meanwhile is handed on. Where there is no standard error, nothing is looked at.
    """
    with _lock:
        try:
            before = os.dup(2)
        except OSError:
            return decode(), ""
        try:
            catcher = _catcher()
            os.dup2(catcher, 2)
            try:
                answer = decode()
            finally:
                os.dup2(before, 2)
            written = _take(catcher)
        finally:
            os.close(before)
    rest = _WARNING.sub(b"", written)
    if rest:
        with contextlib.suppress(OSError):
            os.write(2, rest)
    found = _WARNING.search(written)
    return answer, found[0].decode("ascii", "replace").strip() if found else ""


def _catcher() -> int:
    """Return the file in memory that stands for standard error; a forked child has one of its own."""
    if not _nowhere or _nowhere[1] != os.getpid():
        _nowhere[:] = [_memory_file(), os.getpid()]
    return _nowhere[0]


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("slamfront-warnings")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _take(descriptor: int) -> bytes:
    size = os.lseek(descriptor, 0, os.SEEK_CUR)
    if not size:
        return b""
    os.lseek(descriptor, 0, os.SEEK_SET)
    written = os.read(descriptor, size)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return written

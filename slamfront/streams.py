"""Standard output and standard error that a program can lose without ending."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

_UNWANTED = (errno.EPIPE, errno.EIO)
"""What a closed pipe and a closed terminal give: there is nobody who could miss anything."""


class _Forgiving:
    """A text stream on which writing never fails; `failure` is the first error of a disk that did not take it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        self.lost = False

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
        except ValueError:  # closed
            self.lost = True
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)
        except ValueError:
            self.lost = True

    def _lose(self, error: OSError) -> None:
        self.lost = True
        if error.errno not in _UNWANTED and self.failure is None:
            self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Streams:
    """What became of the streams of a program."""

    def __init__(self, out: _Forgiving | None) -> None:
        self._out = out

    @property
    def failure(self) -> OSError | None:
        """The error of a disk that did not take what was printed; None where there was none, or nobody read it."""
        if self._out is None:
            return None
        self._out.flush()
        return self._out.failure


@contextlib.contextmanager
def forgiving_streams() -> Iterator[Streams]:
    """Let writing to sys.stdout and sys.stderr never raise while the block lasts, nor at the end of the program."""
    before = sys.stdout, sys.stderr
    out, err = (None if stream is None else _Forgiving(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield Streams(out)
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            if stream is not None:
                stream.flush()
                if stream.lost:
                    _drop(stream)


def _drop(stream: _Forgiving) -> None:
    """Send what is left in a stream's buffer nowhere: the interpreter would fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

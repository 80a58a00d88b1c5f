"""Messages to a process and back, where nobody waits for ever: one that makes no progress is given up."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

Message = dict[str, Any]
"""Arrays, numbers and text by name."""

_LENGTH_BYTES = 8
_LOOK_S = 0.5
_WITHOUT_PROC = 20.0
"""Where the system does not tell what a process has used, it is given so many times its patience."""


class Stalled(Exception):
    """The process at the other end neither answers nor uses its processor."""


class Pipes:
    """The standard input and output of a process, as messages with a time limit.

    A process that computes is waited for, however long it takes; one that is stopped, or waits for what never comes, is
    given up after `patience_s`. Raises EOFError when the process, or this end, has gone.
    """

    def __init__(self, process: subprocess.Popen[bytes], patience_s: float, gone: Callable[[], bool]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._input, self._output = process.stdin.fileno(), process.stdout.fileno()
        self._process, self._patience_s, self._gone = process, patience_s, gone
        for descriptor in (self._input, self._output):
            os.set_blocking(descriptor, False)

    def send(self, message: Message) -> None:
        """Hand a message over."""
        data = memoryview(packed(message))
        for _ in self._waits(self._input, select.POLLOUT):
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._input, data) :]
            if not data:
                return

    def receive(self) -> Message:
        """Return the next message."""
        length = int.from_bytes(self._take(_LENGTH_BYTES), "little")
        return unpacked(self._take(length))

    def _take(self, count: int) -> bytes:
        parts: list[bytes] = []
        for _ in self._waits(self._output, select.POLLIN) if count else ():
            with contextlib.suppress(BlockingIOError):
                parts.append(os.read(self._output, count))
                if not parts[-1]:
                    raise EOFError
                count -= len(parts[-1])
            if not count:
                break
        return b"".join(parts)

    def _waits(self, descriptor: int, event: int) -> Iterator[None]:
        """Yield each time that the descriptor is ready; raises Stalled when it is not for too long."""
        poll = select.poll()
        poll.register(descriptor, event)
        used_s, since = _processor_s(self._process.pid), time.monotonic()
        while True:
            if self._gone():
                raise EOFError
            if poll.poll(1000 * _LOOK_S):
                since = time.monotonic()
                yield
                continue
            now_s = _processor_s(self._process.pid)
            if now_s is not None and now_s != used_s:
                used_s, since = now_s, time.monotonic()
            limit_s = self._patience_s * (_WITHOUT_PROC if now_s is None else 1.0)
            if time.monotonic() - since > limit_s:
                raise Stalled


def write_message(pipe: IO[bytes], message: Message) -> None:
    """Write a message as its length and an uncompressed .npz, and wait until that is done."""
    pipe.write(packed(message))
    pipe.flush()


def read_message(pipe: IO[bytes]) -> Message:
    """Return the next message, waiting for it; raises EOFError when there is none, or only a part of one."""
    length = int.from_bytes(_exactly(pipe, _LENGTH_BYTES), "little")
    return unpacked(_exactly(pipe, length))


def packed(message: Message) -> bytes:
    """Return a message as its length and an uncompressed .npz."""
    buffer = io.BytesIO(bytes(_LENGTH_BYTES))
    buffer.seek(_LENGTH_BYTES)
    np.savez(buffer, **message)
    data = buffer.getbuffer()
    data[:_LENGTH_BYTES] = (len(data) - _LENGTH_BYTES).to_bytes(_LENGTH_BYTES, "little")
    return bytes(data)


def unpacked(data: bytes) -> Message:
    """Return the message in an .npz."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _processor_s(pid: int) -> float | None:
    """Return the processor time that a process has used, in clock ticks; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return float(fields[11]) + float(fields[12])
    except (OSError, ValueError, IndexError):
        return None

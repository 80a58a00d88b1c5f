"""A backend in its own process, because GTSAM's Python calls hold the interpreter for as long as they optimise.

The process is a plain `python -c` that is fed through its standard input and output, with arrays in NumPy's own format.
So it never imports the caller's main module, and it ends when its input does: with the caller, however that ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import asdict, fields
from typing import IO, Any, overload

import numpy as np

from slamfront.backend import local_backend
from slamfront.config import BackendConfig, from_mapping, to_mapping
from slamfront.errors import BackendError
from slamfront.geometry.camera import Camera
from slamfront.protocols import Backend
from slamfront.runtime import Channel, Closed, Worker
from slamfront.types import Correction, GraphCorrection, PoseGraph, Window

_LOG = logging.getLogger(__name__)
_MAIN = "import sys; sys.path[:] = {path!r}; from slamfront.backend.remote import serve; serve()"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_QUEUE = 64
_LENGTH_BYTES = 8

Message = dict[str, Any]
"""Arrays, numbers and text by name."""

_Job = Window | PoseGraph
_Answer = Correction | GraphCorrection


class RemoteBackend:
    """Any backend, run in its own process; the process starts, and loads GTSAM, as soon as this is made.

    A process that dies (killed, out of memory) costs the window it was given, whose answer is a BackendError. The next
    window starts a new process, which knows nothing of earlier windows.
    """

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._requests: Channel[tuple[_Job, Future[Any]]] = Channel(_QUEUE)
        self._lock = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start()
        self._worker = Worker("backend pipe", self._work).start()

    @property
    def process_id(self) -> int | None:
        """The id of the backend's process, None while there is none."""
        process = self._process
        return process.pid if process is not None else None

    @overload
    def submit(self, job: Window) -> Future[Correction]: ...
    @overload
    def submit(self, job: PoseGraph) -> Future[GraphCorrection]: ...
    def submit(self, job: _Job) -> Future[Any]:
        """Hand a window, or a pose graph, over and return at once, unless many are waiting.

        The future gives the correction, or raises BackendError. Jobs are done in order. Raises BackendError when this
        backend is closed.
        """
        future: Future[Any] = Future()
        try:
            self._requests.put((job, future))
        except Closed:
            raise BackendError("the backend is closed") from None
        return future

    @overload
    def solve(self, job: Window) -> Correction: ...
    @overload
    def solve(self, job: PoseGraph) -> GraphCorrection: ...
    def solve(self, job: _Job) -> _Answer:
        """Return the optimised window, or graph; BackendError when it cannot be solved or the process was lost."""
        return self.submit(job).result()

    def close(self) -> None:
        """End the process at once; windows without an answer get a BackendError. May be called again."""
        self._requests.close()
        for _, future in self._requests.drain():
            if future.set_running_or_notify_cancel():
                future.set_exception(BackendError("the backend was closed before it came to this window"))
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._worker.join()
        self._reap()

    def __enter__(self) -> RemoteBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Start a process, unless one runs or this backend is closed."""
        with self._lock:
            if self._process is not None or self._closed:
                return
            path = [os.path.abspath(entry) for entry in sys.path]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _MAIN.format(path=path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **_ONE_THREAD},
                    start_new_session=True,  # a terminal's Ctrl-C is for the caller, who then closes this
                )
            except OSError as error:
                raise BackendError(f"the backend process cannot start: {error.strerror}") from error
        with contextlib.suppress(OSError, EOFError):  # it died at once: the first window will tell
            self._send({"config": json.dumps(to_mapping(self._config))})

    def _work(self) -> None:
        """Pass windows to the process and its answers to the futures, until closed."""
        for job, future in self._requests:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._ask(job))
            except BackendError as error:
                future.set_exception(error)

    def _ask(self, job: _Job) -> _Answer:
        if self._process is None:
            _LOG.warning("starting a new backend process")
            self._start()
        try:
            camera = {"camera": json.dumps(asdict(job.camera))} if isinstance(job, Window) else {}
            self._send(_fields(job) | camera)
            answer = self._receive()
        except (OSError, EOFError):
            code = self._reap()
            if self._closed:
                raise BackendError("the backend was closed while it worked on this window") from None
            raise BackendError(f"the backend process was lost (exit {code}): the next window starts anew") from None
        if "error" in answer:
            raise BackendError(str(answer["error"]))
        if isinstance(job, PoseGraph):
            return GraphCorrection(**answer)
        names = ("initial_error", "final_error", "disparity_offset_px")
        return Correction(**(answer | {name: float(answer[name]) for name in names}))

    def _send(self, message: Message) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise EOFError
        _write(process.stdin, message)

    def _receive(self) -> Message:
        process = self._process
        if process is None or process.stdout is None:
            raise EOFError
        return _read(process.stdout)

    def _reap(self) -> int | None:
        """Forget the process, which has ended or is ended now, and return its exit code."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what is left in its buffer has no reader any more
                pipe and pipe.close()
        return code


def serve() -> None:
    """Be the backend's process: read a configuration, then windows, from standard input; answer on standard output.

    Anything else that is printed goes to standard error. Ends when the input ends.
    """
    source = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers, contextlib.suppress(EOFError, BrokenPipeError):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        config = from_mapping(BackendConfig, json.loads(str(_read(source)["config"])))
        try:
            backend, failure = local_backend(config), ""
        except Exception as error:  # whatever the import of a compiled library throws
            backend, failure = None, f"the backend cannot start: {_one_line(error)}"
        while True:
            message = _read(source)
            _write(answers, {"error": failure} if backend is None else _answer(backend, message))


def _answer(backend: Backend, message: Message) -> Message:
    """Return the fields of the backend's correction, or its error as text."""
    try:
        if "edges" in message:
            from slamfront.backend.pose_graph import solve_pose_graph

            scalars = {"scaled": bool(message["scaled"]), "seen_m": float(message["seen_m"])}
            return _fields(solve_pose_graph(PoseGraph(**message | scalars)))
        camera = json.loads(str(message.pop("camera")))
        camera["distortion"] = tuple(camera["distortion"])
        message["offset_sigma_px"] = float(message["offset_sigma_px"])
        return _fields(backend.solve(Window(camera=Camera(**camera), **message)))
    except BackendError as error:
        return {"error": str(error)}
    except Exception as error:  # the process outlives a window that it cannot solve
        return {"error": f"the backend failed: {_one_line(error)}"}


def _fields(value: _Job | _Answer) -> Message:
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name != "camera"}


def _write(pipe: IO[bytes], message: Message) -> None:
    """Write a message as its length and an uncompressed .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **message)
    pipe.write(len(buffer.getbuffer()).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(buffer.getbuffer())
    pipe.flush()


def _read(pipe: IO[bytes]) -> Message:
    """Return the next message; raises EOFError when there is none, or only a part of one."""
    length = int.from_bytes(_read_exactly(pipe, _LENGTH_BYTES), "little")
    with np.load(io.BytesIO(_read_exactly(pipe, length)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

"""A backend in its own process, because GTSAM's Python calls hold the interpreter for as long as they optimise.

The process is a plain `python -c` that is fed through its standard input and output, with arrays in NumPy's own format.
So it never imports the caller's main module, and it ends when its input does: with the caller, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future
from dataclasses import asdict, fields
from typing import Any, overload

from slamfront.backend import local_backend
from slamfront.backend.pipes import Message, Pipes, Stalled, read_message, write_message
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

_Job = Window | PoseGraph
_Answer = Correction | GraphCorrection


class RemoteBackend:
    """Any backend, run in its own process; the process starts, and loads GTSAM, as soon as this is made.

    A process that dies (killed, out of memory), or makes no progress for `config.patience_s` (stopped), costs the
    window it was given, whose answer is a BackendError. The next one starts a new process, which knows nothing of
    earlier windows. One that is never closed ends with the program. In a child that the program forks there is no
    backend: what is handed over there is refused, and closing does nothing.
    """

    def __init__(self, config: BackendConfig) -> None:
        self._config, self._owner = config, os.getpid()
        self._requests: Channel[tuple[_Job, Future[Any]]] = Channel(_QUEUE)
        self._lock = threading.RLock()  # close may come from the collector, in the middle of anything
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        _living.add(self)
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
        if os.getpid() != self._owner:
            raise BackendError("the backend belongs to the process that made it")
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
        if os.getpid() != self._owner:
            return
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
                    bufsize=0,
                    env={**os.environ, **_ONE_THREAD},
                    start_new_session=True,  # a terminal's Ctrl-C is for the caller, who then closes this
                )
            except OSError as error:
                raise BackendError(f"the backend process cannot start: {error.strerror}") from error
            self._pipes = Pipes(self._process, self._config.patience_s, lambda: self._closed)
            with contextlib.suppress(OSError, EOFError, Stalled):  # it died at once: the first window will tell
                self._pipes.send({"config": json.dumps(to_mapping(self._config))})

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
            pipes = self._pipes
            if pipes is None:
                raise EOFError
            pipes.send(_fields(job) | camera)
            answer = pipes.receive()
        except Stalled:
            self._reap()
            patience = f"no progress for {self._config.patience_s:g} s"
            raise BackendError(
                f"the backend process made {patience} and was ended: the next window starts anew"
            ) from None
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

    def _reap(self) -> int | None:
        """Forget the process, which has ended or is ended now, and return its exit code."""
        with self._lock:
            process, self._process, self._pipes = self._process, None, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what is left in its buffer has no reader any more
                pipe and pipe.close()
        return code


_living: weakref.WeakSet[RemoteBackend] = weakref.WeakSet()


def _end_all() -> None:
    """End the processes that nobody closed, before the interpreter takes their threads apart."""
    for backend in list(_living):
        backend.close()


def _disown_all() -> None:
    """In a forked child, let go of the parent's pipes: its backends end when the parent does."""
    for backend in list(_living):
        process = backend._process
        for pipe in () if process is None else (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, pipe.fileno(), inheritable=False)
                os.close(nowhere)


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


def serve() -> None:
    """Be the backend's process: read a configuration, then windows, from standard input; answer on standard output.

    Anything else that is printed goes to standard error. Ends when the input ends, and not by a signal that is meant
    for a whole group of processes: the caller then still wants its answers.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    source = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers, contextlib.suppress(EOFError, BrokenPipeError):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        config = from_mapping(BackendConfig, json.loads(str(read_message(source)["config"])))
        try:
            backend, failure = local_backend(config), ""
        except Exception as error:  # whatever the import of a compiled library throws
            backend, failure = None, f"the backend cannot start: {_one_line(error)}"
        while True:
            message = read_message(source)
            write_message(answers, {"error": failure} if backend is None else _answer(backend, message))


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


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

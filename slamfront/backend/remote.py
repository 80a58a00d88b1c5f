"""A solver in its own process, because GTSAM's Python calls hold the interpreter for as long as they optimise.

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
from slamfront.backend.map_solver import MapSolver
from slamfront.backend.pipes import Message, Pipes, Stalled, read_message, write_message
from slamfront.config import BackendConfig, from_mapping, to_mapping
from slamfront.errors import BackendError
from slamfront.geometry.camera import Camera
from slamfront.runtime import Channel, Closed, Worker
from slamfront.types import (
    BundleAdjustmentProblem,
    Correction,
    GraphCorrection,
    LoopClosingProblem,
    LoopClosingSolution,
    PoseGraph,
)

_LOG = logging.getLogger(__name__)
_MAIN = "import sys; sys.path[:] = {path!r}; from slamfront.backend.remote import serve; serve()"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_QUEUE = 64


class RemoteBackend:
    """Solves bundle adjustments as `config` says, and pose graphs, in a process of its own.

    The process starts, and loads GTSAM, as soon as this is made, or with the first problem where it is `deferred`. One
    that dies (killed, out of memory), or makes no progress for `config.patience_s` (stopped), costs the problem it was
    given, which fails with a BackendError. The next one starts a new process, which knows nothing of earlier problems.
    One that is never closed ends with the program. In a child that the program forks there is no backend: what is
    handed over there is refused, and closing does nothing.
    """

    def __init__(self, config: BackendConfig, deferred: bool = False) -> None:
        self._config, self._owner = config, os.getpid()
        self._requests: Channel[tuple[LoopClosingProblem, Future[Any]]] = Channel(_QUEUE)
        self._lock = threading.RLock()  # close may come from the collector, in the middle of anything
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        _living.add(self)
        self._lost = False
        if not deferred:
            self._start()
        self._worker = Worker("backend pipe", self._work).start()

    @property
    def process_id(self) -> int | None:
        """The id of the backend's process, None while there is none."""
        process = self._process
        return process.pid if process is not None else None

    @overload
    def submit(self, problem: BundleAdjustmentProblem) -> Future[Correction]: ...
    @overload
    def submit(self, problem: PoseGraph) -> Future[GraphCorrection]: ...
    @overload
    def submit(self, problem: LoopClosingProblem) -> Future[LoopClosingSolution]: ...
    def submit(self, problem: LoopClosingProblem) -> Future[Any]:
        """Hand a problem over and return at once, unless many are waiting.

        The future gives the solution, or raises BackendError. Problems are solved in order. Raises BackendError when
        this backend is closed.
        """
        future: Future[Any] = Future()
        if os.getpid() != self._owner:
            raise BackendError("the backend belongs to the process that made it")
        try:
            self._requests.put((problem, future))
        except Closed:
            raise BackendError("the backend is closed") from None
        return future

    @overload
    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction: ...
    @overload
    def solve(self, problem: PoseGraph, /) -> GraphCorrection: ...
    @overload
    def solve(self, problem: LoopClosingProblem, /) -> LoopClosingSolution: ...
    def solve(self, problem: LoopClosingProblem, /) -> LoopClosingSolution:
        """Return the solution of a problem; BackendError when it cannot be solved or the process was lost."""
        return self.submit(problem).result()

    def close(self) -> None:
        """End the process at once; problems without a solution get a BackendError. May be called again."""
        if os.getpid() != self._owner:
            return
        self._requests.close()
        for _, future in self._requests.drain():
            if future.set_running_or_notify_cancel():
                future.set_exception(BackendError("the backend was closed before it came to this problem"))
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
            with contextlib.suppress(OSError, EOFError, Stalled):  # it died at once, as the first problem will show
                self._pipes.send({"config": json.dumps(to_mapping(self._config))})

    def _work(self) -> None:
        """Pass problems to the process and its solutions to the futures, until closed."""
        for problem, future in self._requests:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._ask(problem))
            except BackendError as error:
                future.set_exception(error)

    def _ask(self, problem: LoopClosingProblem) -> LoopClosingSolution:
        if self._process is None:
            if self._lost:
                _LOG.warning("starting a new backend process")
            self._start()
        try:
            camera = {} if isinstance(problem, PoseGraph) else {"camera": json.dumps(asdict(problem.camera))}
            pipes = self._pipes
            if pipes is None:
                raise EOFError
            pipes.send(_fields(problem) | camera)
            answer = pipes.receive()
        except Stalled:
            self._reap()
            patience = f"no progress for {self._config.patience_s:g} s"
            raise BackendError(
                f"the backend process made {patience} and was ended: the next problem starts anew"
            ) from None
        except (OSError, EOFError):
            code = self._reap()
            if self._closed:
                raise BackendError("the backend was closed while it worked on this problem") from None
            raise BackendError(f"the backend process was lost (exit {code}): the next problem starts anew") from None
        if "error" in answer:
            raise BackendError(str(answer["error"]))
        if isinstance(problem, PoseGraph):
            return GraphCorrection(**answer)
        names = ("initial_error", "final_error", "disparity_offset_px")
        return Correction(**(answer | {name: float(answer[name]) for name in names}))

    def _reap(self) -> int | None:
        """Forget the process, which has ended or is ended now, and return its exit code."""
        with self._lock:
            process, self._process, self._pipes = self._process, None, None
            self._lost = True
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
    """Be the backend's process: read a configuration, then problems, from standard input; answer on standard output.

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
            solver, failure = MapSolver(local_backend(config)), ""
        except Exception as error:  # whatever the import of a compiled library throws
            solver, failure = None, f"the backend cannot start: {_one_line(error)}"
        while True:
            message = read_message(source)
            write_message(answers, {"error": failure} if solver is None else _answer(solver, message))


def _answer(solver: MapSolver, message: Message) -> Message:
    """Return the fields of the solution of a problem, or as text why there is none."""
    try:
        return _fields(solver.solve(_problem(message)))
    except BackendError as error:
        return {"error": str(error)}
    except Exception as error:  # the process outlives a problem that it cannot solve
        return {"error": f"the backend failed: {_one_line(error)}"}


def _problem(message: Message) -> LoopClosingProblem:
    """Return the problem of a message."""
    if "edges" in message:
        scalars = {"scaled": bool(message["scaled"]), "seen_m": float(message["seen_m"])}
        return PoseGraph(**message | scalars)
    camera = json.loads(str(message.pop("camera")))
    camera["distortion"] = tuple(camera["distortion"])
    message["offset_sigma_px"] = float(message["offset_sigma_px"])
    return BundleAdjustmentProblem(camera=Camera(**camera), **message)


def _fields(value: LoopClosingProblem | LoopClosingSolution) -> Message:
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name != "camera"}


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

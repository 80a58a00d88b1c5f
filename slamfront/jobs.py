"""Many jobs at once: in this process, in processes of this machine, or on a cluster by Dask; results as they come."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from slamfront.errors import ConfigError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 1, cluster: str = ""
) -> Iterator[Result]:
    """Yield what a function of a module returns for each job, in the order in which they are done.

    workers: processes; with one, everything happens in this process. cluster: address of a Dask scheduler, such as
    tcp://host:8786, whose workers then do everything. The first job that fails ends all: its error is raised here.
    """
    if cluster:
        yield from _on_cluster(function, jobs, cluster)
    elif workers <= 1:
        yield from map(function, jobs)
    else:
        yield from _in_processes(function, jobs, workers)


def _in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(function, job) for job in jobs]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(function: Callable[[Job], Result], jobs: Sequence[Job], cluster: str) -> Iterator[Result]:
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise ConfigError("a cluster needs Dask: pip install 'slamfront[cluster]'") from error
    try:
        client = Client(cluster, timeout=10)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {cluster}") from error
    with client:
        futures = client.map(function, jobs, pure=False)
        try:
            for done in completed(futures):
                yield done.result()
        finally:
            client.cancel(futures)

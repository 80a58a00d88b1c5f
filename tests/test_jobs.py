from __future__ import annotations

import os

import pytest

from slamfront.errors import ConfigError
from slamfront.jobs import run_jobs


def squared(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number, os.getpid()


def test_one_worker_is_this_process() -> None:
    assert list(run_jobs(squared, [1, 2, 3])) == [(1, os.getpid()), (4, os.getpid()), (9, os.getpid())]


def test_processes_give_every_result_and_the_first_error_ends_all() -> None:
    done = list(run_jobs(squared, [1, 2, 3, 4], workers=2))
    assert sorted(result for result, _ in done) == [1, 4, 9, 16]
    assert os.getpid() not in {process for _, process in done}
    with pytest.raises(ValueError, match="-1 is negative"):
        list(run_jobs(squared, [-1, 2], workers=2))


@pytest.mark.slow
def test_a_cluster_of_two_workers_gives_the_same_results() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        done = list(run_jobs(squared, [1, 2, 3, 4], cluster=cluster.scheduler_address))
        assert sorted(result for result, _ in done) == [1, 4, 9, 16]
        assert len({process for _, process in done}) <= 2
        with pytest.raises(ValueError, match="-1 is negative"):
            list(run_jobs(squared, [-1], cluster=cluster.scheduler_address))


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="no Dask scheduler answers at nonsense"):
        list(run_jobs(squared, [1], cluster="nonsense://x"))

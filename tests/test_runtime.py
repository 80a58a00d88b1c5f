"""Channels and workers: nothing is lost, nothing hangs, no error is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from slamfront.runtime import Channel, Closed, Latest, Worker

pytestmark = pytest.mark.timeout(30)

PATIENCE_S = 10.0  # far longer than anything here takes, so that only a hang reaches it
A_MOMENT_S = 0.05  # long enough for a thread to begin to wait; a shorter one would only weaken the test


def finish(*workers: Worker) -> None:
    """Wait for workers; fail on one that hangs."""
    for worker in workers:
        worker.join(PATIENCE_S)
        assert not worker.alive


def started(function: Callable[[], None]) -> Worker:
    return Worker("test", function).start()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_channel_loses_nothing_and_keeps_the_order(size: int) -> None:
    channel: Channel[int] = Channel(size)

    def produce() -> None:
        for value in range(1000):
            channel.put(value)

    producer = Worker("producer", produce, channel.close).start()
    assert list(channel) == list(range(1000))
    finish(producer)


def test_many_writers_and_readers_share_a_channel_without_loss() -> None:
    channel: Channel[int] = Channel(2)
    taken: list[list[int]] = [[], [], []]
    writers = [started(lambda k=k: [channel.put(v) for v in range(k, 300, 3)]) for k in range(3)]
    readers = [started(lambda t=t: t.extend(channel)) for t in taken]
    finish(*writers)
    channel.close()
    finish(*readers)
    assert sorted(value for values in taken for value in values) == list(range(300))


def test_a_full_channel_makes_the_writer_wait() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    written = threading.Event()
    writer = started(lambda: (channel.put(2), written.set()))
    assert not written.wait(A_MOMENT_S)
    assert channel.get() == 1
    assert written.wait(PATIENCE_S)
    assert channel.get() == 2
    finish(writer)


def test_an_offer_to_a_full_channel_is_declined_at_once() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.offer(1)
    assert not channel.offer(2)
    assert channel.drain() == [1]
    assert channel.offer(3)
    assert channel.get() == 3


def test_drain_takes_all_without_waiting_and_wakes_the_writer() -> None:
    channel: Channel[int] = Channel(2)
    assert channel.drain() == []
    channel.put(1)
    channel.put(2)
    writer = started(lambda: channel.put(3))
    time.sleep(A_MOMENT_S)
    assert channel.drain() == [1, 2]
    finish(writer)
    assert channel.drain() == [3]


def test_close_wakes_a_waiting_reader() -> None:
    channel: Channel[int] = Channel(1)
    outcome: list[object] = []

    def read() -> None:
        try:
            outcome.append(channel.get())
        except Closed:
            outcome.append("closed")

    reader = started(read)
    time.sleep(A_MOMENT_S)
    channel.close()
    finish(reader)
    assert outcome == ["closed"]


def test_close_wakes_a_waiting_writer_and_its_value_is_not_taken() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    outcome: list[str] = []

    def write() -> None:
        try:
            channel.put(2)
        except Closed:
            outcome.append("closed")

    writer = started(write)
    time.sleep(A_MOMENT_S)
    channel.close()
    finish(writer)
    assert outcome == ["closed"]
    assert list(channel) == [1]


def test_readers_finish_what_is_queued_after_close() -> None:
    channel: Channel[int] = Channel(5)
    for value in range(3):
        channel.put(value)
    channel.close()
    channel.close()  # closing twice is closing once
    assert channel.get() == 0
    assert list(channel) == [1, 2]
    with pytest.raises(Closed):
        channel.get()
    for write in (channel.put, channel.offer):
        with pytest.raises(Closed):
            write(9)


def test_get_gives_up_after_its_timeout() -> None:
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        Channel[int](1).get(timeout_s=A_MOMENT_S)
    assert time.monotonic() - begin >= A_MOMENT_S


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Channel(0)


def test_the_latest_value_wins_and_the_others_are_counted() -> None:
    mailbox: Latest[int] = Latest()
    for value in range(5):
        mailbox.put(value)
    assert mailbox.get() == 4
    assert mailbox.dropped == 4
    mailbox.put(5)
    assert mailbox.get() == 5
    assert mailbox.dropped == 4


def test_a_fast_writer_never_waits_for_a_slow_reader_and_every_value_is_accounted_for() -> None:
    mailbox: Latest[int] = Latest()
    writer = Worker("camera", lambda: [mailbox.put(v) for v in range(2000)] and None, mailbox.close).start()
    seen = []
    for value in mailbox:
        seen.append(value)
        time.sleep(0.001)
    finish(writer)
    assert seen == sorted(seen)
    assert seen[-1] == 1999
    assert len(seen) + mailbox.dropped == 2000


def test_close_keeps_the_latest_value_and_wakes_its_reader() -> None:
    mailbox: Latest[int] = Latest()
    mailbox.put(1)
    mailbox.close()
    with pytest.raises(Closed):
        mailbox.put(2)
    assert list(mailbox) == [1]
    assert mailbox.dropped == 0


def test_a_worker_keeps_the_exception_that_ended_it_and_closes_its_channel() -> None:
    channel: Channel[int] = Channel(1)

    def fail() -> None:
        channel.put(1)
        raise OSError("the camera is gone")

    worker = Worker("source", fail, channel.close).start()
    assert list(channel) == [1]
    finish(worker)
    assert isinstance(worker.error, OSError)
    assert str(worker.error) == "the camera is gone"


def test_a_worker_whose_channel_closed_ended_well() -> None:
    channel: Channel[int] = Channel(1)
    worker = started(lambda: channel.get())
    assert worker.alive
    channel.close()
    finish(worker)
    assert worker.error is None


def test_a_chain_of_workers_drains_from_the_first_to_the_last() -> None:
    first: Channel[int] = Channel(2)
    second: Channel[int] = Channel(2)
    results: list[int] = []

    def middle() -> None:
        for value in first:
            second.put(value * 10)

    workers = [
        Worker("middle", middle, second.close).start(),
        Worker("last", lambda: results.extend(second)).start(),
    ]
    for value in range(50):
        first.put(value)
    first.close()
    finish(*workers)
    assert results == [10 * value for value in range(50)]


def test_a_broken_link_stops_the_chain_without_a_hang() -> None:
    first: Channel[int] = Channel(1)
    second: Channel[int] = Channel(1)

    def middle() -> None:
        for value in first:
            if value == 3:
                raise RuntimeError("broken")
            second.put(value)

    def close_both() -> None:
        first.close()
        second.close()

    def produce() -> None:
        for value in range(1000):
            first.put(value)

    chain = Worker("middle", middle, close_both).start()
    producer = Worker("producer", produce, first.close).start()
    assert list(second) == [0, 1, 2]
    finish(chain, producer)
    assert isinstance(chain.error, RuntimeError)
    assert producer.error is None

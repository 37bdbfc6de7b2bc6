"""Calls that wait for records are woken by every commit that adds some, whoever needs not look at it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fabric_jobs.gateway.live import Live
from fabric_jobs.records import Lease
from fabric_jobs.routing import sending_id
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, Tx, channels, leases
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.sent import Sent
from tests.factories import add_activation, add_channel, add_task, append, started

SECONDS = 30.0  # far beyond what a commit takes


@pytest.mark.parametrize("by_engine", [False, True])
def test_a_record_wakes_who_waits_for_it(store: Store, by_engine: bool) -> None:
    """What the engine itself has sent, such as what a program printed, is no news to the engine, but it is to a stream."""
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)

    def send(tx: Tx) -> None:
        sender = Sender(activation_id="a1", sending_id=sending_id("a1", "a.in"))
        channels.append(tx, sender, Sent(output="out", count=1, bytes=b"1\n"))
        if by_engine:
            tx.effects.seen("a1")

    assert _wakes(store, channel_id, send)


@pytest.mark.parametrize("by_engine", [False, True])
def test_what_is_given_back_wakes_who_waits_for_more(store: Store, by_engine: bool) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1, 2])
    task = started(store, add_task(store, worker=1))
    _take(store, task.task_id, channel_id)

    def leave(tx: Tx) -> None:
        leases.give_back(tx, task.task_id)
        if by_engine:
            tx.effects.seen("a1")

    assert _wakes(store, channel_id, leave)


def test_the_end_of_a_share_wakes_who_waits_for_what_may_be_left_of_it(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1, 2])
    task = started(store, add_task(store, worker=1))
    _take(store, task.task_id, channel_id)
    store.write(lambda tx: channels.end(tx, channel_id)).result()
    assert _wakes(store, channel_id, lambda tx: leases.finish(tx, task.task_id, channel_id, 0, 2))


def _take(store: Store, task_id: int, channel_id: int) -> None:
    assert store.write(lambda tx: leases.take(tx, task_id, Lease(channel_id, 0, 2))).result()


def _wakes(store: Store, channel_id: int, operation: Callable[[Tx], object]) -> bool:
    async def waiting() -> bool:
        live = Live(store, Settings(state_dir=store.path.parent))
        wait = asyncio.create_task(live.wait([("channel", channel_id)], SECONDS))
        while not live.waiting:
            await asyncio.sleep(0)
        store.write(operation)
        return await wait

    return asyncio.run(waiting())

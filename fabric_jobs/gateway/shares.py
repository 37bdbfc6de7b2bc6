"""Hands out a stream to several workers: each takes the next share of the records, and works on its shares in order.

A share is a lease, stored before its records are sent, so that a worker that asks again, or whose owner restarted, gets it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from starlette.responses import Response

from fabric_jobs.errors import StaleAttempt
from fabric_jobs.gateway import replay
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Channel, Lease, Task
from fabric_jobs.routing import Node
from fabric_jobs.store import Tx, activations, channels, leases

SHARE_BYTES = 256 << 10  # at most about this many bytes of records in one share
OVER = "this attempt is over: another is the current one, or the task has ended or been cancelled"


async def records(
    parts: Parts, task: Task, found: list[Channel], positions: Mapping[int, int], *, at_end: bool
) -> Response | None:
    """Answer with the rest of the share at hand, the next one that the worker holds, or a new one; None if there is none."""
    share = _held(leases.held(parts.store.read, task.task_id), positions)
    if share is None:
        share = await _take(parts, task, found, node_of(parts, task).workers, at_end=at_end)
    if share is None or share.below is None:
        return None
    segment = parts.store.records(share.channel_id, share.first, max_bytes=SHARE_BYTES)
    if segment is None:
        return None
    part = segment.part(share.first, share.size)
    if task.attempt > 1:
        return await replay.hand_out(parts, task, share.channel_id, part)
    return replay.answer_with(parts, task, share.channel_id, part)


def is_drained(parts: Parts, task: Task, found: list[Channel]) -> bool:
    """Return whether nothing is left for a worker to take, now or later: another one may still give back what it holds.

    One that has no credit is not waited for: its consumer may be waiting for the place of this worker.
    """
    sql, aside = parts.store.read, {task.task_id, *parts.live.without_room}
    return all(
        channel.ended
        and channel.dispatched >= channel.next_offset
        and not leases.given_back(sql, channel.channel_id)
        and leases.readers(sql, channel.channel_id) <= aside
        for channel in found
    )


def node_of(parts: Parts, task: Task) -> Node:
    """Return the node of a task."""
    plans, activation_id = parts.engine.plans, str(task.activation_id)
    plan = plans.known(activation_id)
    if plan is None:
        activation = activations.find(parts.store.read, activation_id)
        assert activation is not None
        plan = plans.of(parts.store.read, activation)
    return plan.nodes[task.node]


def _held(held: list[Lease], positions: Mapping[int, int]) -> Lease | None:
    """Return the first records that a worker holds and has not got. `positions` has where its last answers ended.

    It gets its shares in their turn, and finishes them in that order: so of the shares that an answer ended in, the one with the
    highest turn came last; when none of them is held any more, all that it got is finished.
    """
    last = -1
    for lease in held:
        at = positions.get(lease.channel_id, 0)
        if lease.first < at <= (lease.below or 0):
            last = max(last, lease.turn)
    for lease in held:
        at = positions.get(lease.channel_id, 0)
        if lease.turn == last and lease.first < at < (lease.below or 0):
            return lease._replace(first=at)
        if lease.turn > last:
            return lease
    return None


async def _take(parts: Parts, task: Task, found: list[Channel], workers: int, *, at_end: bool) -> Lease | None:
    for channel in found:
        now: Channel | None = channel
        while now is not None and (wanted := _wanted(parts, now, workers)) is not None:
            hold = partial(_hold, task=task, wanted=wanted._replace(at_end=at_end))
            taken = await asyncio.wrap_future(parts.store.write(hold))
            if taken is not None:
                return taken
            now = channels.find(parts.store.read, channel.channel_id)  # another worker was faster
    return None


def _wanted(parts: Parts, channel: Channel, workers: int) -> Lease | None:
    """Return the next share of a channel: what was given back, or a part of what waits, so that every worker gets some."""
    sql = parts.store.read
    for lease in leases.given_back(sql, channel.channel_id):
        return lease
    waiting = channel.next_offset - channel.dispatched
    if waiting <= 0:
        return None
    segment = parts.store.records(channel.channel_id, channel.dispatched, max_bytes=SHARE_BYTES)
    if segment is None:
        return None
    count = min(segment.end - channel.dispatched, -(-waiting // (2 * workers)))
    return Lease(channel.channel_id, channel.dispatched, channel.dispatched + count)


def _hold(tx: Tx, *, task: Task, wanted: Lease) -> Lease | None:
    """Let the worker hold a share, after those that it has; None when it is taken. Raises StaleAttempt."""
    if not channels.of_attempt(tx, task.task_id, task.attempt):
        raise StaleAttempt(OVER)
    own = leases.held(tx, task.task_id)
    turned = wanted._replace(turn=1 + max((lease.turn for lease in own), default=0))
    returned = leases.given_back(tx, wanted.channel_id)
    is_back = bool(returned) and returned[0].first == wanted.first
    taken = leases.take_back(tx, task.task_id, turned) if is_back else leases.take(tx, task.task_id, turned)
    return turned if taken else None

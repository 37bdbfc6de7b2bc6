"""Carries out what follows from a move, in its transaction: ends channels, delivers joins, ends the activation."""

from __future__ import annotations

from typing import Any

from fabric_jobs.counts import counted
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.errors import RecordsDamaged, RecordTooLarge
from fabric_jobs.records import Channel
from fabric_jobs.routing import Plan, sending_id
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Tx, activations, channels, dead_letters, leases, tasks
from fabric_jobs.store.channels import JOIN_BYTES, Sender
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.tasks import Ending


def settle(tx: Tx, activation_id: str, plan: Plan) -> Snapshot | None:
    """End the channels whose sender is done; end the activation when nothing in it can go on.

    Returns the snapshot that it took, if that is still current.
    """
    while True:
        snapshot = take(tx, activation_id, plan)
        if snapshot is None or snapshot.activation.ended:
            return snapshot
        ended = snapshot.ended_channels()
        for channel in ended:
            channels.end(tx, channel.channel_id)
        if not plan.joins:
            break
        after = take(tx, activation_id, plan)
        ready = after.ready_joins() if after is not None else []
        if after is None or not ready:
            break
        try:
            for key in ready:
                _deliver(tx, after, key)
        except (RecordTooLarge, RecordsDamaged) as error:
            activations.end(tx, after.activation, ActivationState.ERROR, cause=error.message)
            return None
    if not snapshot.busy():
        _end(tx, snapshot)
        return None
    return None if ended or plan.joins else snapshot


def abandon(tx: Tx, activation_id: str, cause: str) -> None:
    """End an activation and its tasks without its plan, for when that is unreadable."""
    activation = activations.find(tx, activation_id)
    if activation is None:
        return
    activations.end(tx, activation, ActivationState.ERROR, cause=cause)
    for task in tasks.live(tx, activation_id):
        tasks.end(tx, task, TaskState.FAILED, Ending(exit_code=None), cause=cause)


def _deliver(tx: Tx, snapshot: Snapshot, join: str) -> None:
    """Send one array of all records of a join: in the order of the mappings, then of the records."""
    inbound = [channel for channel in snapshot.channels if channel.node == join]
    size = sum(channel.size for channel in inbound)
    if size > JOIN_BYTES:
        raise RecordTooLarge(
            f"a join has collected {size:,} bytes; its array is one record, which is limited to {JOIN_BYTES:,} bytes."
        )
    lines = b"".join(part for channel in inbound for part in _bytes_of(tx, channel)).rstrip(b"\n").split(b"\n")
    activation_id = snapshot.activation.activation_id
    hops = 1 + max(channels.hops_of(tx, channel.channel_id, 0) for channel in inbound)
    sender = Sender(activation_id=activation_id, sending_id=sending_id(activation_id, join), hops=hops)
    channels.append(tx, sender, Sent(output="", count=1, bytes=b"[" + b",".join(lines) + b"]\n"))
    for channel in inbound:
        leases.close(tx, channel.channel_id)


def _bytes_of(tx: Tx, channel: Channel) -> list[bytes]:
    segment = channels.read(tx, channel.channel_id, 0, max_bytes=JOIN_BYTES + 1) if channel.next_offset else None
    return [] if segment is None else [segment.bytes]


def _end(tx: Tx, snapshot: Snapshot) -> None:
    """End an activation in which nothing can go on: with ERROR when a dead record had to be handled."""
    activation_id = snapshot.activation.activation_id
    tasks.end_calls(tx, activation_id)
    dead = dead_letters.counts(tx, activation_id).get("continue", 0)
    if not dead:
        activations.end(tx, snapshot.activation, ActivationState.COMPLETE)
        return
    first = dead_letters.first(tx, activation_id, "continue")
    assert first is not None
    error: dict[str, Any] = {**first.error, "deadLetters": dead}
    channel = channels.find(tx, first.channel_id)
    if channel is not None and "batch" in error:  # whoever keeps a dead batch does not know the mappings
        error["record"] = {**error["record"], "mapping": str(snapshot.plan.wires[channel.wire])}
    what = counted(dead, "record", "is a dead letter", "are dead letters")
    cause = f"{what}; the first: skill '{first.skill_name}' failed: {first.error['reason']}"
    activations.end(tx, snapshot.activation, ActivationState.ERROR, cause=cause, error=error)

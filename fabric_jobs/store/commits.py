"""The commit call: what a task sent and what it acknowledges, in one transaction (DESIGN section 6)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from zlib import crc32

from fabric_jobs.errors import InvalidInput, ReplayDiffers, StaleAttempt
from fabric_jobs.routing import sending_id
from fabric_jobs.store import channels
from fabric_jobs.store.sql import Row
from fabric_jobs.store.writer import Tx


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Records for one output: NDJSON, each record ends in a newline."""

    output: str
    count: int
    bytes: bytes


@dataclass(frozen=True, kw_only=True)
class Acked:
    """A range of a channel whose records are finished."""

    channel_id: int
    first: int
    next: int


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit of an attempt."""

    sequence: int  # grows by one; a resend has the number of the first try
    sent: tuple[Sent, ...] = ()
    acks: tuple[Acked, ...] = ()
    hand: tuple[int, int] | None = None  # channel and offset of the record whose outputs are committed in part
    hold: bool = False  # release the records when the task exits 0


def apply(tx: Tx, task_id: int, attempt: int, commit: Commit) -> None:
    """Carry out a commit. A resend does nothing.

    Raises StaleAttempt when the attempt may not speak, ReplayDiffers when it repeats something else than was sent
    before it, InvalidInput when it acknowledges what it cannot.
    """
    current = _current(tx, task_id, attempt)
    if commit.sequence <= current["sequence"]:
        return
    tx.run("set_sequence", task_id=task_id, attempt=attempt, sequence=commit.sequence)
    if commit.sent and commit.hold:
        _hold(tx, task_id, commit.sent)
    elif commit.sent:
        _send(tx, task_id, current, commit.sent)
    tx.run("set_hand", task_id=task_id, hand=json.dumps(commit.hand) if commit.hand else None)
    if commit.acks:
        check_repeated(tx, task_id)
        tx.run("forget_sends", task_id=task_id)
        for acked in commit.acks:
            _ack(tx, current, acked)


def message(tx: Tx, task_id: int, attempt: int, sent: Sent, *, key: str | None = None) -> None:
    """Append one record of a plain HTTP sender (reference/fabric.md 6.2): at-least-once, once per `key` when it gives one."""
    current = _current(tx, task_id, attempt)
    if key is not None and not tx.run("insert_message_key", task_id=task_id, key=key):
        return
    _append(tx, task_id, current, sent)


def release_held(tx: Tx, task_id: int, activation_id: str, node: str) -> None:
    """Append what waited for the task's exit 0."""
    for row in tx.all("held_of_task", task_id=task_id):
        channels.append(
            tx, activation_id, sending_id(activation_id, node), row["output"], count=row["count"], records=row["bytes"]
        )
        tx.run("count_sent", task_id=task_id, count=row["count"])
    tx.run("delete_held", task_id=task_id)


def check_repeated(tx: Tx, task_id: int) -> None:
    """Raise ReplayDiffers when the attempt left out records that the one before it had sent."""
    for row in tx.all("sends_of_task", task_id=task_id):
        if row["repeated_count"] < row["count"]:
            raise ReplayDiffers(
                f"replay differs: this attempt sent {row['repeated_count']} records to output '{row['output']}' "
                f"where the attempt before it had sent {row['count']}."
            )


def _current(tx: Tx, task_id: int, attempt: int) -> Row:
    current = tx.one("current_attempt", task_id=task_id, attempt=attempt)
    if current is None:
        raise StaleAttempt(
            f"attempt {attempt} of task {task_id} is over; another is the current one, or the task has ended."
        )
    return current


def _hold(tx: Tx, task_id: int, parts: tuple[Sent, ...]) -> None:
    for sent in parts:
        tx.insert("insert_held", task_id=task_id, output=sent.output, count=sent.count, bytes=sent.bytes)


def _send(tx: Tx, task_id: int, current: Row, parts: tuple[Sent, ...]) -> None:
    known = {row["output"]: dict(row) for row in tx.all("sends_of_task", task_id=task_id)}
    for sent in parts:
        row = known.setdefault(sent.output, _nothing_sent(task_id, sent.output))
        new = _compare(row, sent)
        if new is not None:
            _append(tx, task_id, current, new)
    for row in known.values():
        tx.run("put_sends", **row)


def _nothing_sent(task_id: int, output: str) -> dict[str, int | str]:
    numbers = ("count", "size", "crc", "repeated_count", "repeated_size", "repeated_crc")
    return {"task_id": task_id, "output": output, **dict.fromkeys(numbers, 0)}


def _compare(row: dict[str, int], sent: Sent) -> Sent | None:
    """Count `sent` in `row`; return the part of it that was never sent before."""
    repeated = min(sent.count, row["count"] - row["repeated_count"])
    if repeated == 0:
        _count(row, "", sent)
        _count(row, "repeated_", sent)
        return sent
    lines = sent.bytes.split(b"\n")
    head = b"".join(line + b"\n" for line in lines[:repeated])
    _count(row, "repeated_", Sent(output=sent.output, count=repeated, bytes=head))
    at_end = row["repeated_count"] == row["count"]
    if at_end and (row["repeated_size"], row["repeated_crc"]) != (row["size"], row["crc"]):
        raise ReplayDiffers(
            f"replay differs: the first {row['count']} records that this attempt sent to output '{sent.output}' "
            "are not those of the attempt before it."
        )
    if repeated == sent.count:
        return None
    return _compare(row, Sent(output=sent.output, count=sent.count - repeated, bytes=sent.bytes[len(head) :]))


def _count(row: dict[str, int], which: str, sent: Sent) -> None:
    row[f"{which}count"] += sent.count
    row[f"{which}size"] += len(sent.bytes)
    row[f"{which}crc"] = crc32(sent.bytes, row[f"{which}crc"])


def _append(tx: Tx, task_id: int, current: Row, sent: Sent) -> None:
    activation_id, node = current["activation_id"], current["node"]
    channels.append(
        tx, activation_id, sending_id(activation_id, node), sent.output, count=sent.count, records=sent.bytes
    )
    tx.run("count_sent", task_id=task_id, count=sent.count)


def _ack(tx: Tx, current: Row, acked: Acked) -> None:
    channel = channels.find(tx, acked.channel_id)
    if channel is None or (channel.activation_id, channel.node) != (current["activation_id"], current["node"]):
        raise InvalidInput(f"channel {acked.channel_id} is not an input of this task.")
    if not acked.first <= channel.acked <= channel.next_offset or acked.next > channel.next_offset:
        raise InvalidInput(
            f"channel {acked.channel_id} is acknowledged up to {channel.acked} of {channel.next_offset}; "
            f"{acked.first} to {acked.next} does not follow."
        )
    channels.ack(tx, acked.channel_id, acked.next)

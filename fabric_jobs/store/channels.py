"""Channels: append-only logs of segments; `store.leases` moves the cursors of their consumer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fabric_jobs.conditions import Condition, holds
from fabric_jobs.errors import InvalidInput, RecordsDamaged, RecordTooLarge
from fabric_jobs.records import Channel, Part, Segment
from fabric_jobs.routing import JOIN
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Appended, Tx

HOP_LIMIT = 1000  # mappings that a record may pass; this bounds cycles
JOIN_BYTES = 16 << 20  # a join's array is one record, and this is the longest record


@dataclass(frozen=True, kw_only=True)
class NewChannel:
    """The values that a channel starts with."""

    project_id: str
    activation_id: str
    wire: int
    sending_id: str
    output: str
    node: str
    conditions: tuple[Condition, ...] = field(default=())  # that a record has to meet
    exempt: bool = False  # senders never wait for its consumer


def create(tx: Tx, new: NewChannel) -> int:
    """Insert an empty channel; return its id."""
    values: dict[str, Any] = dict(vars(new))
    values["conditions"] = json.dumps(new.conditions) if new.conditions else ""
    return tx.insert("insert_channel", **values)


def find(sql: Sql, channel_id: int) -> Channel | None:
    """Return a channel; None when there is none of that id."""
    row = sql.one("channel", channel_id=channel_id)
    return None if row is None else Channel.from_row(row)


def of_activation(sql: Sql, activation_id: str) -> list[Channel]:
    """Return the channels of an activation in the order of the plan's wires."""
    return [Channel.from_row(row) for row in sql.all("channels_of_activation", activation_id=activation_id)]


def of_output(sql: Sql, activation_id: str, sending_id: str, output: str) -> list[Channel]:
    """Return the channels that take the records of one output; there may be none."""
    rows = sql.all("channels_of_output", activation_id=activation_id, sending_id=sending_id, output=output)
    return [Channel.from_row(row) for row in rows]


def inbound(sql: Sql, activation_id: str, node: str) -> list[Channel]:
    """Return the channels that one node consumes."""
    return [Channel.from_row(row) for row in sql.all("inbound_channels", activation_id=activation_id, node=node)]


def of_attempt(sql: Sql, task_id: int, attempt: int) -> list[Channel]:
    """Return the channels that an attempt consumes; none unless it is the current attempt of a running task."""
    return [Channel.from_row(row) for row in sql.all("inbound_of_attempt", task_id=task_id, attempt=attempt)]


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who appends."""

    activation_id: str
    sending_id: str
    task_id: int | None = None  # None: the activation's caller, or a join
    hops: int = 0  # mappings that the records have passed, including this one


def append(tx: Tx, sender: Sender, sent: Sent) -> None:
    """Append records to every channel of an output; drop them when it has no channel.

    Raises InvalidInput when they have passed more than HOP_LIMIT mappings.
    """
    if sender.hops > HOP_LIMIT:
        raise InvalidInput(
            f"the record has passed {HOP_LIMIT:,} mappings: it is in an endless cycle.",
            hint="Add a 'when' to a mapping of the cycle, so that it ends.",
        )
    rows = tx.all(
        "channels_of_output", activation_id=sender.activation_id, sending_id=sender.sending_id, output=sent.output
    )
    whole: list[tuple[int, Part]] = []  # stored once, however many channels have them
    for row in rows:
        chosen = _meeting(row["conditions"], sent) if row["conditions"] else sent
        if row["closed"] or not chosen.count:
            tx.run("drop_records", channel_id=row["channel_id"], count=chosen.count)
            continue
        if row["node"].endswith(JOIN) and row["size"] + len(chosen.bytes) > JOIN_BYTES:
            raise RecordTooLarge(
                f"a join has collected more than {JOIN_BYTES:,} bytes, the limit of a record, and its array is one record.",
                hint="Remove 'join: all' from the mapping, and collect the records in a stream skill.",
            )
        if chosen is sent:
            whole = whole or tx.keep(sent)
        _append(tx, row, sender, chosen, whole if chosen is sent else tx.keep(chosen))


def _append(tx: Tx, row: Row, sender: Sender, sent: Sent, parts: list[tuple[int, Part]]) -> None:
    channel_id, first = row["channel_id"], row["next_offset"]
    for count, part in parts:
        columns = tx.columns(part, sent.written)
        tx.run("insert_segment", channel_id=channel_id, first_offset=first, count=count, hops=sender.hops, **columns)
        tx.effects.appended.append(Appended(channel_id, Segment(first_offset=first, count=count, parts=(part,))))
        first += count
    if sender.task_id is not None:
        tx.run(
            "insert_lineage",
            channel_id=channel_id,
            first_offset=row["next_offset"],
            count=sent.count,
            task_id=sender.task_id,
            parents=sent.parents,
        )
    tx.run("advance_channel", channel_id=channel_id, count=sent.count, size=len(sent.bytes))
    tx.effects.news.add(channel_id)


def _meeting(text: str, sent: Sent) -> Sent:
    """Return the records that meet a channel's conditions. Payloads are decoded nowhere else."""
    asked = _conditions(text)
    lines = sent.bytes.split(b"\n")[: sent.count]
    kept = [index for index, line in enumerate(lines) if _meets(asked, json.loads(line))]
    return sent if len(kept) == sent.count else sent.only(kept)


def _meets(asked: tuple[Condition, ...], payload: Any) -> bool:
    return all(holds(condition, payload) for condition in asked)


@lru_cache(maxsize=256)
def _conditions(text: str) -> tuple[Condition, ...]:
    return tuple(json.loads(text))


def hops_of(sql: Sql, channel_id: int, first: int, below: int | None = None) -> int:
    """Return the most mappings that a record has passed, or any of several; they must still be stored."""
    below = first + 1 if below is None else below
    row = sql.one("hops_of_records", channel_id=channel_id, first_offset=first, next_offset=below)
    return 0 if row is None or row["hops"] is None else int(row["hops"])


def end(tx: Tx, channel_id: int) -> None:
    """Mark a channel as complete: no record can be appended any more."""
    if tx.run("end_channel", channel_id=channel_id):
        tx.effects.ended.add(channel_id)


def read(sql: Sql, channel_id: int, offset: int, *, max_bytes: int) -> Segment | None:
    """Return records from `offset` on: about `max_bytes`, and at least one record; None when there are none yet."""
    parts: list[Segment] = []
    size = 0
    while size < max_bytes:
        rows = sql.all("segments_from", channel_id=channel_id, offset=offset, limit=8)
        for segment in (segment_of(sql, row) for row in rows):
            if segment.end <= offset:
                continue
            if parts and size + segment.size > max_bytes:
                return Segment.joined(parts)
            parts.append(segment.part(offset))
            size += parts[-1].size
            offset = segment.end
        if len(rows) < 8:
            break
    return Segment.joined(parts) if parts else None


def is_there(sql: Sql, channel_id: int, offset: int) -> bool:
    """Return whether a record is still stored and readable."""
    try:
        segment = read(sql, channel_id, offset, max_bytes=1)
        return segment is not None and bool(segment.bytes)
    except RecordsDamaged:
        return False


def segment_of(sql: Sql, row: Row) -> Segment:
    """Return a row as a segment; its bytes may be in a file."""
    return Segment(first_offset=row["first_offset"], count=row["count"], parts=(sql.part(row),))


def sizes(sql: Sql, channel_id: int, offset: int) -> list[tuple[int, int]]:
    """Return end offset and size of every segment that ends after `offset`."""
    return [(row["end_offset"], row["size"]) for row in sql.all("segment_sizes", channel_id=channel_id, offset=offset)]

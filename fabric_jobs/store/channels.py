"""Channels: append-only logs of segments, with the cursors of their consumer."""

from __future__ import annotations

from fabric_jobs.records import Channel, Segment
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Appended, Tx


def create(tx: Tx, *, project_id: str, activation_id: str, wire: int, sending_id: str, output: str, node: str) -> int:
    """Insert an empty channel; return its id."""
    return tx.insert(
        "insert_channel",
        project_id=project_id,
        activation_id=activation_id,
        wire=wire,
        sending_id=sending_id,
        output=output,
        node=node,
    )


def find(sql: Sql, channel_id: int) -> Channel | None:
    """Return one channel."""
    row = sql.one("channel", channel_id=channel_id)
    return None if row is None else Channel.from_row(row)


def of_activation(sql: Sql, activation_id: str) -> list[Channel]:
    """Return the channels of an activation in the order of the plan's wires."""
    return [Channel.from_row(row) for row in sql.all("channels_of_activation", activation_id=activation_id)]


def of_output(sql: Sql, activation_id: str, sending_id: str, output: str) -> list[Channel]:
    """Return where the records of one output go: zero or more channels."""
    rows = sql.all("channels_of_output", activation_id=activation_id, sending_id=sending_id, output=output)
    return [Channel.from_row(row) for row in rows]


def inbound(sql: Sql, activation_id: str, node: str) -> list[Channel]:
    """Return what one node consumes."""
    return [Channel.from_row(row) for row in sql.all("inbound_channels", activation_id=activation_id, node=node)]


def of_attempt(sql: Sql, task_id: int, attempt: int) -> list[Channel]:
    """Return what an attempt consumes; nothing when it is not the current one of a running task."""
    return [Channel.from_row(row) for row in sql.all("inbound_of_attempt", task_id=task_id, attempt=attempt)]


def append(tx: Tx, activation_id: str, sending_id: str, output: str, *, count: int, records: bytes) -> None:
    """Append records to every channel of an output; an output that nobody takes drops them (reference/fabric.md 2.3)."""
    for row in tx.all("channels_of_output", activation_id=activation_id, sending_id=sending_id, output=output):
        channel_id, first = row["channel_id"], row["next_offset"]
        if row["closed"]:
            tx.run("drop_records", channel_id=channel_id, count=count)
            continue
        tx.run("insert_segment", channel_id=channel_id, first_offset=first, count=count, hops=0, bytes=records)
        tx.run("advance_channel", channel_id=channel_id, count=count, size=len(records))
        tx.effects.appended.append(Appended(channel_id, first, count, records))


def ack(tx: Tx, channel_id: int, acked: int) -> bool:
    """Every record below `acked` is finished; segments that no replay can need are deleted. False when it was so before."""
    if not tx.run("ack_channel", channel_id=channel_id, acked=acked):
        return False
    tx.run("delete_consumed", channel_id=channel_id, acked=acked)
    tx.effects.acked[channel_id] = acked
    return True


def ack_message_tasks(tx: Tx, channel_id: int) -> None:
    """Move the ack of a channel that feeds message tasks up to the lowest record still in work."""
    tx.run("ack_message_tasks", channel_id=channel_id)
    acked = int(tx.one("channel", channel_id=channel_id)["acked"])  # type: ignore[index]
    tx.run("delete_consumed", channel_id=channel_id, acked=acked)
    tx.effects.acked[channel_id] = acked


def dispatch(tx: Tx, channel_id: int, dispatched: int) -> bool:
    """A task row was made for every record below `dispatched`; False when another had gone as far."""
    return bool(tx.run("dispatch_channel", channel_id=channel_id, dispatched=dispatched))


def end(tx: Tx, channel_id: int) -> None:
    """No record can come any more."""
    if tx.run("end_channel", channel_id=channel_id):
        tx.effects.ended.add(channel_id)


def close_inbound(tx: Tx, activation_id: str, node: str) -> None:
    """The consumer is through: what it left counts as finished, and what still comes is dropped."""
    tx.run("close_inbound", activation_id=activation_id, node=node)
    for channel in inbound(tx, activation_id, node):
        tx.run("delete_consumed", channel_id=channel.channel_id, acked=channel.acked)
        tx.effects.acked[channel.channel_id] = channel.acked
        tx.effects.ended.add(channel.channel_id)


def read(sql: Sql, channel_id: int, offset: int, *, max_bytes: int) -> Segment | None:
    """Return records from `offset` on, about `max_bytes` of them and at least one; None when there are none yet."""
    parts: list[Segment] = []
    size = 0
    while size < max_bytes:
        rows = sql.all("segments_from", channel_id=channel_id, offset=offset, limit=8)
        found = [Segment(first_offset=row["first_offset"], count=row["count"], bytes=row["bytes"]) for row in rows]
        for segment in (segment for segment in found if segment.end > offset):
            if parts and size + len(segment.bytes) > max_bytes:
                return _joined(parts)
            parts.append(segment.part(offset))
            size += len(parts[-1].bytes)
            offset = segment.end
        if len(rows) < 8:
            break
    return _joined(parts)


def sizes(sql: Sql, channel_id: int, offset: int) -> list[tuple[int, int]]:
    """Return end offset and bytes of the segments that are not wholly below `offset`."""
    return [(row["end_offset"], row["size"]) for row in sql.all("segment_sizes", channel_id=channel_id, offset=offset)]


def _joined(parts: list[Segment]) -> Segment | None:
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return Segment(
        first_offset=parts[0].first_offset,
        count=sum(part.count for part in parts),
        bytes=b"".join(part.bytes for part in parts),
    )

"""Leases: the only code that takes records from a channel, finishes them and gives them back (docs/explanation/channels.md).

A lease is a range of a channel's records that a task holds: one record, a batch, a part of a stream, or, open, whatever comes.
What is finished above the lowest unfinished record is kept as ranges, so every way of working finishes records in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fabric_jobs.records import Lease
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx


def held(sql: Sql, task_id: int) -> list[Lease]:
    """Return what a task holds, in the order in which it works on it."""
    return [Lease.from_row(row) for row in sql.all("leases_of_task", task_id=task_id)]


def given_back(sql: Sql, channel_id: int, limit: int = 1) -> list[Lease]:
    """Return the first ranges of a channel that were taken and given back."""
    return [Lease.from_row(row) for row in sql.all("free_leases", channel_id=channel_id, limit=limit)]


def readers(sql: Sql, channel_id: int) -> set[int]:
    """Return the tasks that read records of a channel and may leave them to others.

    One that waits for its next attempt does not: its place may be the very one that waits for it.
    """
    return {int(row["task_id"]) for row in sql.all("readers_of_channel", channel_id=channel_id)}


def take(tx: Tx, task_id: int, wanted: Lease) -> bool:
    """Let a task hold the next records of a channel; return False when the first of them is taken, or one is not there."""
    assert wanted.below is not None
    if not tx.run("take_records", channel_id=wanted.channel_id, first_offset=wanted.first, next_offset=wanted.below):
        return False
    _insert(tx, task_id, wanted)
    return True


def take_all(tx: Tx, task_id: int, channel_id: int) -> None:
    """Let a task hold everything that is in a channel and comes."""
    _insert(tx, task_id, Lease(channel_id, 0, None))


def take_back(tx: Tx, task_id: int, lease: Lease) -> bool:
    """Let a task hold a range that was given back; return False when another task took it."""
    place = {"channel_id": lease.channel_id, "first_offset": lease.first}
    return bool(tx.run("hold_lease", task_id=task_id, turn=lease.turn, at_end=int(lease.at_end), **place))


def split(tx: Tx, lease: Lease, at: int, task_id: int) -> None:
    """Let another task hold the records of a lease from `at` on."""
    tx.run("cut_lease", channel_id=lease.channel_id, first_offset=lease.first, next_offset=at)
    _insert(tx, task_id, lease._replace(first=at))


def finish(tx: Tx, task_id: int, channel_id: int, first: int, below: int) -> bool:
    """Finish the records from `first` to below `below` that a task holds; return whether any were unfinished."""
    found = False
    for row in tx.all("leases_of_task", task_id=task_id):
        if row["channel_id"] != channel_id:
            continue
        lease = Lease.from_row(row)
        begin, end = max(first, lease.first), below if lease.below is None else min(below, lease.below)
        if begin < end:
            found = mark(tx, channel_id, begin, end) or found
            if lease.below is not None:
                _cut(tx, task_id, lease, begin, end)
    return found


def mark(tx: Tx, channel_id: int, first: int, below: int) -> bool:
    """Mark records as finished, whoever holds them; return whether any was not."""
    row = tx.one("channel", channel_id=channel_id)
    assert row is not None
    acked = row["acked"]
    first = max(first, acked)
    if first >= below or below > row["next_offset"]:
        return False
    change = 0
    while around := tx.all("finished_around", channel_id=channel_id, first_offset=first, next_offset=below):
        for other in around:  # and then what touches these: an earlier version's tasks are a row each
            if other["first_offset"] <= first and below <= other["next_offset"]:
                return False
            first, below = min(first, other["first_offset"]), max(below, other["next_offset"])
            change -= other["next_offset"] - other["first_offset"]
            tx.run("delete_finished", channel_id=channel_id, first_offset=other["first_offset"])
    if first > acked:
        tx.run("insert_finished", channel_id=channel_id, first_offset=first, next_offset=below)
        change += below - first
    else:
        tx.run("ack_channel", channel_id=channel_id, acked=below)
        _consumed(tx, channel_id, below)
    if change:
        tx.run("count_ahead", channel_id=channel_id, change=change)
    return True


def finish_whole(tx: Tx, wanted: Iterable[Lease]) -> None:
    """Finish whole ranges that a task holds; those that follow each other are marked together."""
    passed: list[Lease] = []
    for lease in sorted(wanted):
        tx.run("delete_lease", channel_id=lease.channel_id, first_offset=lease.first)
        if passed and passed[-1].channel_id == lease.channel_id and passed[-1].below == lease.first:
            passed[-1] = passed[-1]._replace(below=lease.below)
        else:
            passed.append(lease)
    for lease in passed:
        assert lease.below is not None
        mark(tx, lease.channel_id, lease.first, lease.below)


def finish_all(tx: Tx, task_id: int) -> None:
    """Finish all that a task holds; what it holds of an open lease beyond what is finished is for nobody."""
    for lease in held(tx, task_id):
        tx.run("delete_lease", channel_id=lease.channel_id, first_offset=lease.first)
        if lease.below is not None:
            mark(tx, lease.channel_id, lease.first, lease.below)


def give_back(tx: Tx, task_id: int) -> None:
    """Give back what a task has not finished; what it was to finish with its exit is finished."""
    for lease in held(tx, task_id):
        if lease.at_end and lease.below is not None:
            finish(tx, task_id, lease.channel_id, lease.first, lease.below)
    tx.effects.news.update(lease.channel_id for lease in held(tx, task_id))
    tx.run("delete_open_leases", task_id=task_id)
    tx.run("free_task_leases", task_id=task_id)


def extend(tx: Tx, task_id: int, until: float) -> None:
    """Let a task hold what it holds until a time, in seconds since 1970, rather than for as long as its attempt runs."""
    tx.run("extend_leases", task_id=task_id, expires_at=until)


def expired(sql: Sql, channel_id: int, now: float) -> list[tuple[int, Lease]]:
    """Return what was to be finished by now, with the task that holds it. `now` is in seconds since 1970."""
    rows = sql.all("expired_leases", channel_id=channel_id, now=now)
    return [(row["task_id"], Lease.from_row(row)) for row in rows]


def release(tx: Tx, task_id: int, channel_id: int, first: int) -> None:
    """Give back one range that a task holds."""
    tx.run("free_lease", task_id=task_id, channel_id=channel_id, first_offset=first)
    tx.effects.news.add(channel_id)


def close(tx: Tx, channel_id: int) -> None:
    """Finish a channel whose consumer is done: its unread records count as finished, and new ones are dropped."""
    tx.run("delete_channel_leases", channel_id=channel_id)
    tx.run("delete_channel_finished", channel_id=channel_id)
    tx.run("close_channel", channel_id=channel_id)
    row = tx.one("channel", channel_id=channel_id)
    assert row is not None
    _consumed(tx, channel_id, row["acked"])
    tx.effects.ended.add(channel_id)


def finished_above(sql: Sql, channel_id: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges that are finished although an earlier record is not."""
    for row in sql.all("finished_above", channel_id=channel_id):
        yield row["first_offset"], row["next_offset"]


def _consumed(tx: Tx, channel_id: int, acked: int) -> None:
    tx.run("delete_consumed", channel_id=channel_id, acked=acked)
    tx.effects.acked[channel_id] = acked


def _cut(tx: Tx, task_id: int, lease: Lease, begin: int, end: int) -> None:
    """Take a finished range out of a lease."""
    assert lease.below is not None
    tx.run("delete_lease", channel_id=lease.channel_id, first_offset=lease.first)
    for first, below in ((lease.first, begin), (end, lease.below)):
        if first < below:
            _insert(tx, task_id, lease._replace(first=first, below=below))
    if (begin, end) == (lease.first, lease.below):
        row = tx.one("channel", channel_id=lease.channel_id)
        if row is not None and row["ended"] and row["dispatched"] >= row["next_offset"]:
            tx.effects.told.add(lease.channel_id)  # for those who wait to see whether it is given back


def _insert(tx: Tx, task_id: int, lease: Lease) -> None:
    tx.run(
        "insert_lease",
        channel_id=lease.channel_id,
        first_offset=lease.first,
        next_offset=lease.below,
        task_id=task_id,
        turn=lease.turn,
        at_end=int(lease.at_end),
    )

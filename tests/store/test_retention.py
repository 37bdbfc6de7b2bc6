"""Ended activations can be deleted, step by step and completely, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from fabric_jobs.jobs import BatchCounts, BatchRow
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Store, Tx, activations, callbacks, channels, jobs, leases, queue_letters, retention, tasks
from fabric_jobs.store.sent import Written
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.tasks import Ending
from tests.factories import PROJECT, add_activation, add_channel, add_task, found, job, ndjson, started

OWNERS = ("activation_id", "task_id", "channel_id")

INLINE = dict.fromkeys(("file_id", "at", "size", "crc"))


def end(store: Store, activation_id: str, state: ActivationState = ActivationState.COMPLETE) -> None:
    """End an activation."""
    activation = activations.find(store.read, activation_id)
    assert activation is not None
    store.write(lambda tx: activations.end(tx, activation, state)).result()


def fill(store: Store, activation_id: str, *, segments: int = 3) -> int:
    """Store an ended activation that has rows in every table; return its task."""
    add_activation(store, activation_id)
    channel_id = add_channel(store, "", "b.in", wire=0, activation_id=activation_id)
    answers = add_channel(store, "b.in", "", wire=1, activation_id=activation_id)
    task = started(store, add_task(store, name=f"t-{activation_id}", activation_id=activation_id))

    def more(tx: Any) -> None:
        for number in range(segments):
            tx.run(
                "insert_segment",
                channel_id=answers,
                first_offset=number,
                count=1,
                hops=0,
                **INLINE,
                bytes=ndjson([number]),
            )
            origin = {"first_offset": number, "count": 1, "task_id": task.task_id, "parents": ""}
            tx.run("insert_lineage", channel_id=answers, **origin)
            tx.run("advance_channel", channel_id=answers, count=1, size=len(ndjson([number])))
        written = Written(name=tx.files.make_directory("sender", task.attempt_name) + "/0", at=0, attempt=1)
        (tx.files.directory / written.name).write_bytes(b"1\n")
        part = tx.files.ref(written.name, 0, 2, crc32(b"1\n"))
        columns = tx.columns(part, replace(written, task_id=task.task_id))
        tx.insert("insert_held", task_id=task.task_id, output="out", count=1, **columns)
        tx.run("insert_message_key", task_id=task.task_id, key="k")
        tx.connection.execute(
            "insert into dead_letters (project_id, activation_id, channel_id, record_offset, task_id, skill_name,"
            " payload, error, on_error, attempts, dead_at, retried_as)"
            " values (?, ?, ?, 0, ?, 'b', x'31', '{}', 'continue', 1, 0, 'another')",
            (PROJECT, activation_id, channel_id, task.task_id),
        )
        tasks.end(tx, found(store, task.task_id), TaskState.COMPLETE, Ending(exit_code=0))
        channels.end(tx, channel_id)
        callbacks.expect(tx, activation_id, PROJECT, "http://x/")
        callback = callbacks.find(tx, PROJECT, activation_id)
        assert callback is not None
        callbacks.failed(tx, callback, "refused", 0.0, given_up=True)
        fill_job(tx, activation_id, channel_id, task.task_id)

    store.write(more).result()
    end(store, activation_id)
    return task.task_id


def fill_job(tx: Tx, activation_id: str, channel_id: int, task_id: int) -> None:
    """Store what an activation that is a job has besides: a batch that died and cannot be sent."""
    jobs.create(tx, job(activation_id=activation_id, queue_arn="arn:aws:sqs:us-west-2:1:q"))
    counted = BatchCounts(failed=1, dead=1)._asdict()
    tx.run("count_batches", activation_id=activation_id, node="b.in", **counted)
    died = BatchRow(channel_id, 0, 1, 1, 0, "dead", 0.0, "it said 500", task_id, 0.0, 0.0)
    tx.run("put_batch", **died._asdict())
    tx.run("worker_ready", task_id=task_id, attempt=1, ready_at=0.0)
    tx.run("expect_letter", activation_id=activation_id)
    tx.run("insert_letter", activation_id=activation_id, batch_id="x", attempts=1, error="it said 500", body=b"[1]")
    queue = queue_letters.of_job(tx, activation_id)
    assert queue is not None
    queue_letters.failed(tx, queue, "refused", 0.0, given_up=True)


def finish_second(store: Store, activation_id: str) -> None:
    """Append two records to the input, and finish the second."""
    (channel,) = channels.inbound(store.read, activation_id, "b.in")

    def operation(tx: Tx) -> None:
        tx.run("advance_channel", channel_id=channel.channel_id, count=2, size=4)
        leases.mark(tx, channel.channel_id, 1, 2)

    store.write(operation).result()


def rows_of(sql: Sql, activation_id: str) -> dict[str, int]:
    """Return the number of an activation's rows in each table that exists."""
    names = [row[0] for row in sql.connection.execute("select name from sqlite_master where type = 'table'")]
    columns = {name: [row[1] for row in sql.connection.execute(f"pragma table_info({name})")] for name in names}
    inner = {
        "activation_id": ":id",
        "task_id": "select task_id from tasks where activation_id = :id",
        "channel_id": "select channel_id from channels where activation_id = :id",
    }
    counted = {}
    for name, own in columns.items():
        if name == "occurrences":
            continue  # a schedule remembers its runs
        ways = [f"{column} in ({inner[column]})" for column in OWNERS if column in own]
        if ways:
            query = f"select count(*) from {name} where {' or '.join(ways)}"
            counted[name] = sql.connection.execute(query, {"id": activation_id}).fetchone()[0]
    return counted


def prune(store: Store, *activation_ids: str, dead_letters: bool = False) -> list[str]:
    """Delete activations to the last row; return those that may be deleted."""
    hidden = store.write(lambda tx: retention.hide(tx, activation_ids, PROJECT, dead_letters=dead_letters)).result()
    while not store.write(lambda tx: retention.delete_some(tx, hidden)).result():
        pass
    return hidden


def test_nothing_of_an_activation_is_left_in_any_table(store: Store) -> None:
    task_id = fill(store, "a1")
    fill(store, "a2")
    finish_second(store, "a1")
    before = rows_of(store.read, "a1")
    assert all(before.values()), f"a table that this test has no row for: {before}"
    kept = rows_of(store.read, "a2")
    assert prune(store, "a1") == ["a1"]
    assert set(rows_of(store.read, "a1").values()) == {0}
    assert rows_of(store.read, "a2") == kept
    for table in ("attempts", "held", "message_keys"):  # rows that only refer to the task
        query = f"select count(*) from {table} where task_id = ?"
        assert store.read.connection.execute(query, (task_id,)).fetchone()[0] == 0


def test_an_activation_that_is_being_deleted_is_seen_by_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, "a1", segments=7)
    fill(store, "a2")
    monkeypatch.setattr(retention, "ROWS", 6)
    hidden = store.write(lambda tx: retention.hide(tx, ["a1"], PROJECT, dead_letters=False)).result()
    steps = 0
    while not store.write(lambda tx: retention.delete_some(tx, hidden)).result():
        steps += 1
        listed = activations.listed(store.read, activations.RunFilter(project_id=PROJECT))
        assert [item.activation_id for item in listed] == ["a2"]
        assert retention.hidden(store.read, 10) == ["a1"]  # a later call goes on
    assert steps > 3  # each transaction is limited
    assert retention.hidden(store.read, 10) == []


def test_segments_of_many_bytes_go_in_several_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, "a1", segments=9)
    fill(store, "a2")
    monkeypatch.setattr(retention, "SEGMENT_BYTES", 4)  # two records
    hidden = store.write(lambda tx: retention.hide(tx, ["a1"], PROJECT, dead_letters=False)).result()
    assert not store.write(lambda tx: retention.delete_some(tx, hidden)).result()
    assert rows_of(store.read, "a1")["segments"] == 7
    assert prune(store, "a1") == []  # already hidden
    while not store.write(lambda tx: retention.delete_some(tx, hidden)).result():
        pass
    assert set(rows_of(store.read, "a1").values()) == {0}


def test_what_may_not_go_stays(store: Store) -> None:
    add_activation(store, "pending")
    add_activation(store, "alive")
    add_task(store, name="t-alive", activation_id="alive")
    end(store, "alive", ActivationState.ERROR)
    fill(store, "dead")
    store.write(lambda tx: tx.connection.execute("update dead_letters set retried_as = null")).result()
    fill(store, "undelivered")
    store.write(lambda tx: tx.run("retry_callback", activation_id="undelivered")).result()
    fill(store, "newest")
    assert [item.activation_id for item in retention.prunable(store.read, PROJECT, dead_letters=False)] == []
    assert prune(store, "pending", "alive", "dead", "undelivered", "newest", "unknown") == []
    assert prune(store, "dead", dead_letters=True) == ["dead"]


def test_numbers_are_never_given_twice(store: Store) -> None:
    tasks_before = [fill(store, "a1"), fill(store, "a2")]
    assert prune(store, "a1", "a2") == ["a1"]  # a2 has the newest ids
    tasks_before.append(fill(store, "a3"))
    assert prune(store, "a2", "a3") == ["a2"]
    tasks_before.append(fill(store, "a4"))
    assert tasks_before == sorted(set(tasks_before))


def test_the_newest_and_the_counts(store: Store) -> None:
    for name in ("a1", "a2", "a3"):
        fill(store, name)
    assert retention.newest(store.read, PROJECT, 2) == {"a2", "a3"}
    assert [item.activation_id for item in retention.prunable(store.read, PROJECT, dead_letters=False)] == ["a1", "a2"]
    counts = retention.counts(store.read)
    assert (counts.activations, counts.pending, counts.tasks, counts.records) == (3, 0, 3, 9)
    assert retention.record_bytes(store.read).keys() == {"a1", "a2", "a3"}
    assert {place.attempt_name for place in retention.places(store.read)} == {"t-a1-1", "t-a2-1", "t-a3-1"}


def test_a_database_without_its_free_pages_is_smaller(store: Store) -> None:
    fill(store, "a1")
    fill(store, "a2")
    big = b'"' + b"x" * 1_000_000 + b'"\n'
    channel = channels.of_activation(store.read, "a1")[1].channel_id
    store.write(
        lambda tx: tx.run("insert_segment", channel_id=channel, first_offset=3, count=1, hops=0, **INLINE, bytes=big)
    ).result()
    prune(store, "a1")
    before, free = retention.page_bytes(store.read)
    assert free >= 990_000
    store.compact().result()
    after, free = retention.page_bytes(store.read)
    assert free == 0
    assert after <= before - 990_000
    fill(store, "a3")  # the store still works

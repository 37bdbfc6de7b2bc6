"""Leases: what tasks hold of a channel, against a model of single records."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fabric_jobs.records import Channel, Lease
from fabric_jobs.store import Effects, Store, Tx, channels, leases
from fabric_jobs.store.connection import schema_steps
from tests.factories import add_activation, add_channel, add_task, append, records_of


def test_an_ack_never_goes_back_and_never_past_the_end(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1, 2, 3])
    for acked, expected in ((2, 2), (1, 2), (2, 2), (4, 2), (3, 3), (0, 3)):
        store.write(lambda tx, acked=acked: leases.mark(tx, channel_id, 0, acked)).result()  # type: ignore[misc]
        assert now(store, channel_id).acked == expected


def test_the_consumer_that_is_through_counts_as_having_read_all_and_what_still_comes_is_dropped(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    other = add_channel(store, "a.in", "c.in", wire=1)
    append(store, [1, 2])
    seen: list[Effects] = []
    store.listen(seen.append)
    store.write(lambda tx: leases.close(tx, channel_id)).result()
    assert seen[-1].acked == {channel_id: 2}
    assert seen[-1].ended == {channel_id}
    append(store, [3, 4, 5])
    closed = now(store, channel_id)
    assert (closed.closed, closed.next_offset, closed.acked, closed.dropped) == (True, 2, 2, 3)
    assert channels.sizes(store.read, channel_id, 0) == []
    assert records_of(store, other) == [1, 2, 3, 4, 5]


def test_the_records_of_a_lease_are_nobody_elses(store: Store) -> None:
    channel_id, (one, other) = _ready(store, 5)
    assert _take(store, one, Lease(channel_id, 0, 2))
    assert not _take(store, other, Lease(channel_id, 0, 2)), "they are taken"
    assert not _take(store, other, Lease(channel_id, 3, 4)), "2 would be left out"
    assert not _take(store, other, Lease(channel_id, 2, 6)), "there are five"
    assert _take(store, other, Lease(channel_id, 2, 5))
    assert not store.write(lambda tx: leases.finish(tx, one, channel_id, 2, 5)).result()
    assert now(store, channel_id).acked == 0


def test_what_is_finished_out_of_order_is_acknowledged_once_it_follows(store: Store) -> None:
    channel_id, (one, other) = _ready(store, 6)
    _take(store, one, Lease(channel_id, 0, 3))
    _take(store, other, Lease(channel_id, 3, 6))
    store.write(lambda tx: leases.finish(tx, other, channel_id, 4, 6)).result()
    store.write(lambda tx: leases.finish(tx, one, channel_id, 0, 2)).result()
    assert (now(store, channel_id).acked, _ranges(store, channel_id)) == (2, [(4, 6)])
    store.write(lambda tx: leases.finish(tx, other, channel_id, 3, 4)).result()
    assert (now(store, channel_id).acked, _ranges(store, channel_id)) == (2, [(3, 6)])
    store.write(lambda tx: leases.finish_all(tx, one)).result()
    assert (now(store, channel_id).acked, _ranges(store, channel_id)) == (6, [])
    assert leases.held(store.read, other) == []


def test_ranges_that_touch_each_other_are_passed_together(store: Store) -> None:
    channel_id, (one, _) = _ready(store, 6)
    _take(store, one, Lease(channel_id, 0, 6))

    def operation(tx: Tx) -> None:
        for offset in (1, 2, 3):  # as the tasks of an earlier version were taken over
            tx.run("insert_finished", channel_id=channel_id, first_offset=offset, next_offset=offset + 1)
        tx.run("count_ahead", channel_id=channel_id, change=3)
        leases.finish(tx, one, channel_id, 0, 1)

    store.write(operation).result()
    channel = now(store, channel_id)
    assert (channel.acked, channel.ahead, _ranges(store, channel_id)) == (4, 0, [])


def test_an_open_lease_takes_in_whatever_comes(store: Store) -> None:
    channel_id, (one, _) = _ready(store, 2)
    store.write(lambda tx: leases.take_all(tx, one, channel_id)).result()
    append(store, [2, 3])
    assert store.write(lambda tx: leases.finish(tx, one, channel_id, 1, 4)).result()
    assert (now(store, channel_id).acked, _ranges(store, channel_id)) == (0, [(1, 4)])
    assert store.write(lambda tx: leases.finish(tx, one, channel_id, 0, 1)).result()
    assert now(store, channel_id).acked == 4
    assert not store.write(lambda tx: leases.finish(tx, one, channel_id, 4, 5)).result(), "it is not there yet"


def test_what_is_given_back_is_taken_again_and_what_ends_with_the_task_is_finished(store: Store) -> None:
    channel_id, (one, other) = _ready(store, 6)
    _take(store, one, Lease(channel_id, 0, 2, at_end=True))
    _take(store, one, Lease(channel_id, 2, 6))
    store.write(lambda tx: leases.finish(tx, one, channel_id, 3, 4)).result()
    store.write(lambda tx: leases.give_back(tx, one)).result()
    assert now(store, channel_id).acked == 2
    first, second = leases.given_back(store.read, channel_id, 5)
    assert (first, second) == (Lease(channel_id, 2, 3), Lease(channel_id, 4, 6))
    assert store.write(lambda tx: leases.take_back(tx, other, second)).result()
    assert not store.write(lambda tx: leases.take_back(tx, one, second)).result(), "somebody was faster"
    assert leases.held(store.read, other) == [second]


def test_what_an_earlier_version_had_taken_is_leased(tmp_path: Path) -> None:
    """Two message tasks have ended, the second out of order, two have not; a stream reads the other channel."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as older:
        for step in schema_steps()[:5]:
            older.executescript(step.read_text())
        older.executescript("""
            pragma user_version = 5;
            insert into activations (activation_id, project_id, kind, name, entry, pins, state, session_id, correlation_id,
              username, workspace, payload, properties, headers, started_at)
            values ('a1', 'p', 'agent', 's', 'in', '{}', 'PENDING', 'a1', 'a1', 'me', '', x'', '{}', '{}', 1.0);
            insert into channels (project_id, activation_id, wire, sending_id, output, node, next_offset, dispatched, acked)
            values ('p', 'a1', 0, 'x', 'out', 'b.in', 9, 4, 1), ('p', 'a1', 1, 'x', 'out', 'c.in', 5, 0, 2);
            insert into tasks (project_id, name, activation_id, node, skill_name, action_name, receives, state, channel_id,
              record_offset, created_at)
            values ('p', 't0', 'a1', 'b.in', 'b', 'b', 'message', 'COMPLETE', 1, 0, 1.0),
              ('p', 't1', 'a1', 'b.in', 'b', 'b', 'message', 'ACTIVE', 1, 1, 1.0),
              ('p', 't2', 'a1', 'b.in', 'b', 'b', 'message', 'FAILED', 1, 2, 1.0),
              ('p', 't3', 'a1', 'b.in', 'b', 'b', 'message', 'QUEUED', 1, 3, 1.0),
              ('p', 't4', 'a1', 'c.in', 'c', 'c', 'stream', 'ACTIVE', null, null, 1.0);
        """)
    store = Store(path)
    held = [leases.held(store.read, task_id) for task_id in range(1, 6)]
    assert held == [[], [Lease(1, 1, 2)], [], [Lease(1, 3, 4)], [Lease(2, 0, None)]]
    assert (_ranges(store, 1), now(store, 1).unfinished) == ([(2, 3)], 7)
    store.write(lambda tx: leases.finish_all(tx, 2)).result()
    assert now(store, 1).acked == 3
    store.close()


class Leases(RuleBasedStateMachine):
    """Takes, finishes, splits, gives back and takes again, at random, beside a model: who holds each record."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        self._store = Store(Path(self._directory.name) / "state.db")
        add_activation(self._store)
        self.channel_id = add_channel(self._store, "a.in", "b.in", wire=0)
        self.tasks = [add_task(self._store, name=f"t{number}", receives="batch").task_id for number in range(3)]
        self.model: list[int | str] = []  # of each record: who holds it, "new", "free", or "done"

    def teardown(self) -> None:
        """Close the store."""
        self._store.close()
        self._directory.cleanup()

    def _of(self, what: int | str) -> list[int]:
        return [offset for offset, state in enumerate(self.model) if state == what]

    @rule(count=st.integers(1, 5))
    def grow(self, count: int) -> None:
        """Append records."""
        append(self._store, list(range(count)))
        self.model += ["new"] * count

    @rule(task=st.integers(0, 2), count=st.integers(1, 4), at_end=st.booleans())
    def take(self, task: int, count: int, at_end: bool) -> None:
        """Take the next records."""
        new = self._of("new")
        first = new[0] if new else len(self.model)
        wanted = Lease(self.channel_id, first, first + count, at_end=at_end)
        took = self._store.write(lambda tx: leases.take(tx, self.tasks[task], wanted)).result()
        assert took == (len(new) >= count)
        if took:
            self.model[first : first + count] = [self.tasks[task] * (-1 if at_end else 1)] * count

    @rule(task=st.integers(0, 2), first=st.integers(0, 30), count=st.integers(1, 6))
    def finish(self, task: int, first: int, count: int) -> None:
        """Finish what a task holds of a range."""
        task_id = self.tasks[task]
        mine = [
            at for at in range(first, first + count) if at < len(self.model) and self.model[at] in (task_id, -task_id)
        ]
        done = self._store.write(lambda tx: leases.finish(tx, task_id, self.channel_id, first, first + count)).result()
        assert done == bool(mine)
        for at in mine:
            self.model[at] = "done"

    @rule(task=st.integers(0, 2))
    def finish_all(self, task: int) -> None:
        """End a task well."""
        task_id = self.tasks[task]
        self._store.write(lambda tx: leases.finish_all(tx, task_id)).result()
        self.model = ["done" if state in (task_id, -task_id) else state for state in self.model]

    @rule(task=st.integers(0, 2))
    def give_back(self, task: int) -> None:
        """End a worker of a stream."""
        task_id = self.tasks[task]
        self._store.write(lambda tx: leases.give_back(tx, task_id)).result()
        self.model = ["free" if state == task_id else "done" if state == -task_id else state for state in self.model]

    @precondition(lambda self: self._of("free"))
    @rule(task=st.integers(0, 2))
    def take_back(self, task: int) -> None:
        """Take the first range that was given back."""
        (lease,) = leases.given_back(self._store.read, self.channel_id)
        assert lease.first == self._of("free")[0]
        assert self._store.write(lambda tx: leases.take_back(tx, self.tasks[task], lease)).result()
        self.model[lease.first : lease.below] = [self.tasks[task]] * lease.size

    @rule(task=st.integers(0, 2), other=st.integers(0, 2), data=st.data())
    def split(self, task: int, other: int, data: st.DataObject) -> None:
        """Let another task have the second half of a lease."""
        wide = [lease for lease in leases.held(self._store.read, self.tasks[task]) if lease.size > 1]
        if not wide:
            return
        lease = data.draw(st.sampled_from(wide))
        at = lease.first + lease.size // 2
        self._store.write(lambda tx: leases.split(tx, lease, at, self.tasks[other])).result()
        assert lease.below is not None
        sign = -1 if lease.at_end else 1
        self.model[at : lease.below] = [sign * self.tasks[other]] * (lease.below - at)

    @invariant()
    def the_store_knows_each_record(self) -> None:
        """Compare acknowledgement, ranges and leases with the model."""
        undone = [offset for offset, state in enumerate(self.model) if state != "done"]
        channel = now(self._store, self.channel_id)
        assert channel.acked == (undone[0] if undone else len(self.model))
        assert channel.unfinished == len(undone)
        above = {at for first, below in _ranges(self._store, self.channel_id) for at in range(first, below)}
        assert above == {at for at in self._of("done") if at >= channel.acked}
        for task_id in self.tasks:
            held = leases.held(self._store.read, task_id)
            assert {at for lease in held for at in range(lease.first, lease.below or 0)} == {
                *self._of(task_id),
                *self._of(-task_id),
            }
        assert channel.dispatched == len(self.model) - len(self._of("new"))


TestLeases = Leases.TestCase


def now(store: Store, channel_id: int) -> Channel:
    found = channels.find(store.read, channel_id)
    assert found is not None
    return found


def _ready(store: Store, count: int) -> tuple[int, tuple[int, int]]:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, list(range(count)))
    return channel_id, (add_task(store, name="one", worker=1).task_id, add_task(store, name="other", worker=2).task_id)


def _take(store: Store, task_id: int, lease: Lease) -> bool:
    return store.write(lambda tx: leases.take(tx, task_id, lease)).result()


def _ranges(store: Store, channel_id: int) -> list[tuple[int, int]]:
    return list(leases.finished_above(store.read, channel_id))

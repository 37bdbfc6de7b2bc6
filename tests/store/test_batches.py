"""Batches: handed out, done, failed and lost, against a model of each batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fabric_jobs.errors import StaleAttempt
from fabric_jobs.jobs import BatchCounts, BatchRow
from fabric_jobs.records import Channel, Task
from fabric_jobs.store import Store, Tx, batches, channels, dead_letters, leases
from fabric_jobs.store.batches import Done, Failed, Handed, Report, Rules
from fabric_jobs.store.dead_letters import LetterFilter
from fabric_jobs.store.sent import Sent
from tests.factories import PROJECT, add_activation, add_channel, add_task, append, ndjson, records_of, started

NODE = "api.items"


class Time:
    """The time of day, as the test sets it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(batches, "time", made)
    return made


class Desk:
    """A store with a channel of items, and workers of its node."""

    def __init__(self, store: Store, *, workers: int = 2) -> None:
        self.store = store
        add_activation(store)
        self.channel_id = add_channel(store, "", NODE, wire=0, output="items")
        self.results_id = add_channel(store, NODE, "", wire=1, output="results")
        new = [add_task(store, NODE, f"w{number}", worker=number) for number in range(1, workers + 1)]
        self.workers = [started(store, task) for task in new]

    def add(self, count: int) -> None:
        """Append items; each is its offset."""
        first = self.channel.next_offset
        append(self.store, list(range(first, first + count)), source="", output="items")

    @property
    def channel(self) -> Channel:
        now = channels.find(self.store.read, self.channel_id)
        assert now is not None
        return now

    def take(self, worker: int, rules: Rules, want: int = 1, *, flush: bool = True) -> list[Handed]:
        """Take batches."""
        return self.store.write(
            lambda tx: batches.take(tx, self.workers[worker], _now(tx, self.channel_id), rules, want, flush=flush)
        ).result()

    def report(self, worker: int, said: Report, rules: Rules) -> Task:
        """Report as the current attempt."""
        task = self.workers[worker]
        return self.store.write(lambda tx: batches.report(tx, task.task_id, task.attempt, said, rules)).result()

    def done(self, worker: int, first: int, rules: Rules, seconds: float = 1.0) -> None:
        """Report a batch as done, with its first offset as the only output."""
        sent = Sent(output="results", count=1, bytes=ndjson([first]))
        self.report(worker, Report(done=(Done(self.channel_id, first, seconds, sent),)), rules)

    def failed(self, worker: int, first: int, rules: Rules, error: str = "it said 500") -> None:
        """Report a batch as failed."""
        self.report(worker, Report(failed=(Failed(self.channel_id, first, error, 0.5),)), rules)

    def lose(self, worker: int, rules: Rules) -> None:
        """Let a worker die."""
        self.store.write(lambda tx: batches.lose(tx, self.workers[worker], "it was killed", rules)).result()

    def extend(self, worker: int, until: float) -> None:
        """Let a worker hold what it holds until a time."""
        self.store.write(lambda tx: leases.extend(tx, self.workers[worker].task_id, until)).result()

    def expire(self) -> None:
        """Give back what is held for too long."""
        self.store.write(lambda tx: batches.expire(tx, self.channel_id)).result()

    @property
    def counts(self) -> BatchCounts:
        return batches.counts_of(self.store.read, "a1", NODE)

    def row(self, first: int) -> BatchRow | None:
        """Return what is kept of a batch."""
        return batches.find(self.store.read, self.channel_id, first)

    def letters(self) -> list[int]:
        """Return the offsets of the dead letters."""
        return dead_letters.offsets(self.store.read, self.channel_id, 0)


@pytest.fixture
def desk(store: Store, clock: Time) -> Desk:
    return Desk(store)


def _now(tx: Tx, channel_id: int) -> Channel:
    channel = channels.find(tx, channel_id)
    assert channel is not None
    return channel


ONCE = Rules(size=3, receive_count=1, on_error="continue")
TWICE = ONCE._replace(receive_count=2)


def test_batches_are_consecutive_and_the_last_may_be_short(desk: Desk) -> None:
    desk.add(8)
    assert desk.take(0, ONCE, 2, flush=False) == [
        Handed(desk.channel_id, 0, 3, 1),
        Handed(desk.channel_id, 3, 6, 1),
    ]
    assert desk.take(1, ONCE, 2, flush=False) == [], "there may come a ninth item"
    assert desk.take(1, ONCE, 2) == [Handed(desk.channel_id, 6, 8, 1)]
    assert desk.take(0, ONCE) == []
    assert batches.held(desk.store.read, desk.workers[0].task_id) == [
        Handed(desk.channel_id, 0, 3, 1),
        Handed(desk.channel_id, 3, 6, 1),
    ]


def test_the_id_of_a_batch_is_the_same_for_all_attempts_and_no_others(desk: Desk) -> None:
    ids = {batches.batch_id(job, channel, first) for job in ("a1", "a2") for channel in (1, 2) for first in (0, 3)}
    assert len(ids) == 8
    assert batches.batch_id("a1", 1, 0) == batches.batch_id("a1", 1, 0)


def test_a_report_that_is_sent_twice_counts_once(desk: Desk) -> None:
    desk.add(6)
    desk.take(0, ONCE, 2)
    for _ in range(2):
        desk.done(0, 0, ONCE, seconds=2.0)
        desk.failed(0, 3, ONCE)
        desk.done(0, 3, ONCE)  # it is not held any more
        desk.failed(1, 0, ONCE)  # nor was it ever held by this one
    assert desk.counts[:4] == (1, 1, 1, 2.0)
    assert records_of(desk.store, desk.results_id) == [0]
    assert desk.channel.unfinished == 0
    assert (desk.row(0), desk.letters()) == (None, [3, 4, 5])


def test_an_attempt_that_is_not_the_current_one_changes_nothing(desk: Desk) -> None:
    desk.add(3)
    desk.take(0, ONCE)
    task = desk.workers[0]
    said = Report(done=(Done(desk.channel_id, 0, 1.0),))
    with pytest.raises(StaleAttempt):
        desk.store.write(lambda tx: batches.report(tx, task.task_id, task.attempt + 1, said, ONCE)).result()
    assert desk.counts == BatchCounts()
    assert desk.channel.unfinished == 3


def test_a_failed_batch_waits_longer_each_time_and_any_worker_gets_it(desk: Desk, clock: Time) -> None:
    rules = ONCE._replace(receive_count=9)
    desk.add(3)
    desk.take(0, rules)
    pauses = []
    for attempt in range(1, 9):
        worker = attempt % 2
        desk.failed(1 - worker, 0, rules, f"error {attempt}")
        row = desk.row(0)
        assert row is not None
        assert (row.attempts, row.lost, row.state, row.error) == (attempt, 0, "waiting", f"error {attempt}")
        pauses.append(row.not_before - clock.now)
        assert batches.next_due(desk.store.read, "a1", clock.now) == row.not_before
        clock.now = row.not_before - 0.01
        assert desk.take(worker, rules) == []
        clock.now = row.not_before
        assert desk.take(worker, rules) == [Handed(desk.channel_id, 0, 3, attempt + 1)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert batches.next_due(desk.store.read, "a1", clock.now) is None
    desk.done(0, 0, rules)
    row = desk.row(0)
    assert row is not None
    assert (row.attempts, row.state, row.error) == (9, "succeeded", "error 8")
    assert desk.counts[:3] == (1, 8, 0)


def test_items_of_a_dead_batch_are_dead_letters_that_name_it(desk: Desk) -> None:
    desk.add(5)
    desk.take(0, ONCE, 2)
    desk.failed(0, 3, ONCE, "status 500")
    letters = dead_letters.listed(desk.store.read, LetterFilter(project_id=PROJECT, activation_id="a1"))
    name = batches.batch_id("a1", desk.channel_id, 3)
    assert [letter.error["batch"] for letter in letters] == [{"id": name, "first": 3, "count": 2}] * 2
    assert [letter.error["reason"] for letter in letters] == ["status 500"] * 2
    assert [letter.attempts for letter in letters] == [1, 1]
    payloads = [json.loads(dead_letters.payload(desk.store.read, letter.dead_letter_id)) for letter in letters]
    assert payloads == [3, 4]
    assert desk.channel.unfinished == 3


def test_batches_of_a_dead_worker_are_anybodys_at_once_and_one_by_one(desk: Desk, clock: Time) -> None:
    desk.add(9)
    desk.take(0, TWICE, 3)
    desk.lose(0, TWICE)
    assert desk.counts[:3] == (0, 0, 0), "most of them were not begun"
    assert desk.take(1, TWICE, 3) == [Handed(desk.channel_id, 0, 3, 2)], "the one that kills its worker kills no others"
    assert desk.take(1, TWICE, 3) == [Handed(desk.channel_id, 3, 6, 2)]
    desk.failed(1, 0, TWICE)  # its first failure of its own
    row = desk.row(0)
    assert row is not None
    assert (row.attempts, row.lost, row.state, row.not_before) == (2, 1, "waiting", clock.now + 1)


def test_a_batch_whose_third_worker_dies_is_dead(desk: Desk) -> None:
    desk.add(3)
    for attempt in range(1, 4):
        assert desk.take(0, ONCE) == [Handed(desk.channel_id, 0, 3, attempt)]
        desk.lose(0, ONCE)
    assert desk.take(0, ONCE) == []
    assert (desk.counts[:3], desk.letters()) == ((0, 1, 1), [0, 1, 2])
    row = desk.row(0)
    assert row is not None
    assert (row.attempts, row.lost, row.state, row.error) == (3, 3, "dead", "it was killed")


def test_a_worker_that_returns_after_its_lease_ran_out_is_not_counted(desk: Desk, clock: Time) -> None:
    desk.add(6)
    desk.take(0, ONCE)
    desk.extend(0, clock.now + 30)
    desk.take(1, ONCE)
    clock.now += 30
    desk.expire()
    assert desk.take(1, ONCE) == [Handed(desk.channel_id, 0, 3, 2)]
    desk.done(0, 0, ONCE)
    assert (desk.counts[:3], records_of(desk.store, desk.results_id)) == ((0, 0, 0), [])
    desk.done(1, 0, ONCE)
    desk.expire()
    assert (desk.counts[:3], records_of(desk.store, desk.results_id)) == ((1, 0, 0), [0])
    assert [lease.first for lease in leases.held(desk.store.read, desk.workers[1].task_id)] == [3]


def test_a_batch_whose_workers_are_not_heard_of_is_not_dead(desk: Desk, clock: Time) -> None:
    desk.add(3)
    for attempt in range(1, batches.LOST_LIMIT + 2):
        assert desk.take(0, ONCE) == [Handed(desk.channel_id, 0, 3, attempt)]
        desk.extend(0, clock.now + 30)
        clock.now += 30
        desk.expire()
    assert (desk.counts[:3], desk.letters()) == ((0, 0, 0), [])
    desk.take(1, ONCE)
    desk.done(1, 0, ONCE)
    assert desk.counts[:3] == (1, 0, 0)


def test_one_worker_calls_on_job_complete(desk: Desk) -> None:
    desk.add(3)
    desk.take(0, ONCE)
    desk.done(0, 0, ONCE)

    def claim(worker: int) -> BatchCounts | None:
        return desk.store.write(lambda tx: batches.claim_completion(tx, desk.workers[worker])).result()

    first = claim(1)
    assert first is not None
    assert first[:3] == (1, 0, 0)
    assert claim(0) is None
    assert claim(1) is not None, "it may have died before it called"
    desk.report(0, Report(completed="200"), ONCE)
    assert desk.counts.completed == "", "it is not the one"
    desk.report(1, Report(completed="200"), ONCE)
    desk.report(1, Report(completed="500"), ONCE)
    assert desk.counts.completed == "200"
    assert claim(1) is None


def test_on_job_complete_is_called_even_without_any_batch(desk: Desk) -> None:
    claimed = desk.store.write(lambda tx: batches.claim_completion(tx, desk.workers[0])).result()
    assert claimed is not None
    assert claimed[:4] == (0, 0, 0, 0.0)


def test_a_worker_is_ready_once_per_attempt(desk: Desk, clock: Time) -> None:
    task = desk.workers[0]
    assert not batches.was_ready(desk.store.read, task)
    desk.report(0, Report(ready=False), ONCE)
    assert not batches.was_ready(desk.store.read, task)
    desk.report(0, Report(), ONCE)
    began = clock.now
    clock.now += 60
    desk.report(0, Report(), ONCE)
    assert batches.was_ready(desk.store.read, task)
    assert batches.ready_workers(desk.store.read, "a1") == {task.task_id: (1, began)}


def test_batches_that_deviate_are_listed_in_pages_and_by_state(desk: Desk) -> None:
    desk.add(30)
    taken = desk.take(0, TWICE, 10)
    for batch in taken[:6]:
        desk.failed(0, batch.first, TWICE)
    for batch in taken[6:]:
        desk.done(0, batch.first, TWICE)
    seen: list[int] = []
    after = (0, -1)
    while page := batches.of_activation(desk.store.read, "a1", after=after, limit=4):
        seen += [row.first_offset for row in page]
        after = (page[-1].channel_id, page[-1].first_offset)
    assert seen == [0, 3, 6, 9, 12, 15]
    assert batches.of_activation(desk.store.read, "a1", state="dead") == []
    assert len(batches.of_activation(desk.store.read, "a1", state="waiting")) == 6


@dataclass
class Batch:
    """What the model knows of a batch."""

    first: int
    below: int
    state: str = "held"  # held | free | done | dead
    worker: int | None = None
    attempts: int = 0  # that ended
    lost: int = 0
    not_before: float = 0.0
    until: float | None = None  # the end of the lease

    @property
    def deviates(self) -> bool:
        """Whether a row is kept."""
        return self.attempts > 0 and (self.attempts > 1 or self.state != "done")


class Batches(RuleBasedStateMachine):
    """Hands out, finishes, fails and loses, at random, beside a model."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        self._patch = pytest.MonkeyPatch()
        self.clock = Time()
        self._patch.setattr(batches, "time", self.clock)
        self._store = Store(Path(self._directory.name) / "state.db")
        self.desk = Desk(self._store, workers=3)
        self.how = ONCE
        self.items = 0
        self.ended = False
        self.model: dict[int, Batch] = {}  # that were handed out, by first offset
        self.failures = 0
        self.seconds = 0.0

    @initialize(size=st.integers(1, 4), receive_count=st.integers(1, 3))
    def choose(self, size: int, receive_count: int) -> None:
        """Choose the rules."""
        self.how = Rules(size=size, receive_count=receive_count, on_error="continue")

    def teardown(self) -> None:
        """Close the store."""
        self._store.close()
        self._patch.undo()
        self._directory.cleanup()

    @precondition(lambda self: not self.ended)
    @rule(count=st.integers(1, 9))
    def grow(self, count: int) -> None:
        """Append items."""
        self.desk.add(count)
        self.items += count

    @rule()
    def end(self) -> None:
        """Say that no item follows: an incomplete batch is handed out, too."""
        self.ended = True

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds

    @rule(worker=st.integers(0, 2), want=st.integers(1, 4))
    def take(self, worker: int, want: int) -> None:
        """Hand out batches."""
        expected = self._expected(want)
        assert self.desk.take(worker, self.how, want, flush=self.ended) == [
            Handed(self.desk.channel_id, batch.first, batch.below, batch.attempts + 1) for batch in expected
        ]
        for batch in expected:
            batch.state, batch.worker, batch.until = "held", worker, None
            self.model[batch.first] = batch

    def _expected(self, want: int) -> list[Batch]:
        chosen: list[Batch] = []
        free = [one for one in self._of("free") if one.not_before <= self.clock.now]
        for batch in free[:want]:
            if batch.lost:
                return chosen or [batch]
            chosen.append(batch)
        at = max((one.below for one in self.model.values()), default=0)
        while len(chosen) < want and (at + self.how.size <= self.items or (self.ended and at < self.items)):
            chosen.append(Batch(at, min(at + self.how.size, self.items)))
            at = chosen[-1].below
        return chosen

    def _of(self, state: str) -> list[Batch]:
        return [self.model[first] for first in sorted(self.model) if self.model[first].state == state]

    @precondition(lambda self: bool(self.model))
    @rule(worker=st.integers(0, 2), data=st.data(), seconds=st.sampled_from([0.25, 1.0, 2.0]))
    def done(self, worker: int, data: st.DataObject, seconds: float) -> None:
        """Report a batch as done, whoever has it."""
        batch = data.draw(st.sampled_from([self.model[first] for first in sorted(self.model)]))
        self.desk.done(worker, batch.first, self.how, seconds)
        if batch.state == "held" and batch.worker == worker:
            batch.state = "done"
            batch.attempts += 1
            self.seconds += seconds

    @precondition(lambda self: bool(self.model))
    @rule(worker=st.integers(0, 2), data=st.data())
    def fail(self, worker: int, data: st.DataObject) -> None:
        """Report a batch as failed, whoever has it."""
        batch = data.draw(st.sampled_from([self.model[first] for first in sorted(self.model)]))
        self.desk.failed(worker, batch.first, self.how)
        if batch.state == "held" and batch.worker == worker:
            self._failed(batch)

    def _failed(self, batch: Batch) -> None:
        batch.attempts += 1
        self.failures += 1
        tries = batch.attempts - batch.lost
        batch.state = "dead" if tries >= self.how.receive_count else "free"
        batch.not_before = self.clock.now + 2.0 ** (tries - 1)

    @rule(worker=st.integers(0, 2), verdicts=st.lists(st.booleans(), min_size=12, max_size=12))
    def report_all(self, worker: int, verdicts: list[bool]) -> None:
        """Report all that a worker has in one call, some as done, the others as failed."""
        mine = [batch for batch in self._of("held") if batch.worker == worker][: len(verdicts)]
        channel_id = self.desk.channel_id
        done = [batch for batch, is_good in zip(mine, verdicts, strict=False) if is_good]
        failed = [batch for batch in mine if batch not in done]
        sent = [Sent(output="results", count=1, bytes=ndjson([batch.first])) for batch in done]
        said = Report(
            done=tuple(Done(channel_id, one.first, 0.25, its) for one, its in zip(done, sent, strict=True)),
            failed=tuple(Failed(channel_id, batch.first, "no", 0.5) for batch in failed),
        )
        self.desk.report(worker, said, self.how)
        for batch in done:
            batch.state = "done"
            batch.attempts += 1
            self.seconds += 0.25
        for batch in failed:
            self._failed(batch)

    @rule(worker=st.integers(0, 2))
    def lose(self, worker: int) -> None:
        """Let a worker die; another attempt of it goes on."""
        self.desk.lose(worker, self.how)
        for batch in self._of("held"):
            if batch.worker == worker:
                self._lost(batch)

    @rule(worker=st.integers(0, 2), seconds=st.sampled_from([0.5, 2.0, 30.0]))
    def extend(self, worker: int, seconds: float) -> None:
        """Limit the leases of a worker, or extend them."""
        self.desk.extend(worker, self.clock.now + seconds)
        for batch in self._of("held"):
            if batch.worker == worker:
                batch.until = self.clock.now + seconds

    @rule()
    def expire(self) -> None:
        """Let leases run out."""
        self.desk.expire()
        for batch in self._of("held"):
            if batch.until is not None and batch.until <= self.clock.now:
                self._late(batch)

    def _lost(self, batch: Batch) -> None:
        self._late(batch)
        batch.state = "dead" if batch.lost >= batches.LOST_LIMIT else "free"
        self.failures += batch.state == "dead"

    def _late(self, batch: Batch) -> None:
        batch.attempts += 1
        batch.lost += 1
        batch.state = "free"
        batch.not_before = 0.0

    @invariant()
    def every_batch_is_counted_once(self) -> None:
        """Compare counts, rows, leases, outputs and dead letters with the model."""
        finished, dead = self._of("done"), self._of("dead")
        assert self.desk.counts[:4] == (len(finished), self.failures, len(dead), self.seconds)
        unfinished = [batch for batch in self.model.values() if batch.state in ("held", "free")]
        handed = sum(batch.below - batch.first for batch in self.model.values())
        assert self.desk.channel.dispatched == handed
        assert self.desk.channel.unfinished == self.items - handed + sum(one.below - one.first for one in unfinished)
        assert sorted(records_of(self._store, self.desk.results_id)) == [batch.first for batch in finished]
        assert self.desk.letters() == [offset for batch in dead for offset in range(batch.first, batch.below)]

    @invariant()
    def only_batches_that_deviate_have_a_row(self) -> None:
        """Compare rows and leases with the model."""
        rows = {row.first_offset: row for row in batches.of_activation(self._store.read, "a1", limit=1000)}
        assert rows.keys() == {batch.first for batch in self.model.values() if batch.deviates}
        for first, row in rows.items():
            batch = self.model[first]
            state = {"held": "waiting", "free": "waiting", "done": "succeeded", "dead": "dead"}[batch.state]
            assert (row.attempts, row.lost, row.state) == (batch.attempts, batch.lost, state)
        for worker, task in enumerate(self.desk.workers):
            held = {(lease.first, lease.below) for lease in leases.held(self._store.read, task.task_id)}
            assert held == {(one.first, one.below) for one in self._of("held") if one.worker == worker}


TestBatches = Batches.TestCase

"""The commit call: outputs and acknowledgements in one transaction, resends, fencing, replay without duplicates."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput, ReplayDiffers, StaleAttempt
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, Tx, channels, commits, tasks
from fabric_jobs.store.commits import Acked, Commit
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.tasks import Again, Ending
from tests.factories import add_activation, add_channel, add_task, append, found, ndjson, records_of, started

LOST = Ending(exit_code=None, reason="lost")
PROPERTY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sent(output: str, *records: object) -> Sent:
    return Sent(output=output, count=len(records), bytes=ndjson(records))


def apply(store: Store, task: Task, commit: Commit) -> None:
    store.write(lambda tx: commits.apply(tx, task.task_id, task.attempt, commit)).result()


def next_attempt(store: Store, task: Task) -> Task:
    """Let the attempt die, and start the next one."""
    store.write(lambda tx: tasks.requeue(tx, task, LOST, Again(lost=True))).result()
    return started(store, found(store, task.task_id))


def complete(store: Store, task: Task) -> None:
    def operation(tx: Tx) -> None:
        now = tasks.find(tx, task.task_id)
        assert now is not None
        commits.check_repeated(now)
        assert tasks.end(tx, now, TaskState.COMPLETE, Ending(exit_code=0))
        commits.release_held(tx, now)

    store.write(operation).result()


@dataclass
class Bench:
    """A stream task `b.in` with two inputs. Its output `x` goes to two channels, `y` to one, `z` to none."""

    store: Store
    activation_id: str
    task: Task
    inputs: list[int]
    outputs: dict[str, list[int]]

    @classmethod
    def build(cls, store: Store, inputs: list[list[Any]]) -> Bench:
        activation_id = add_activation(store, f"a{store.commits}")
        ids = [
            add_channel(store, "a.in", "b.in", wire=wire, output=f"o{wire}", activation_id=activation_id)
            for wire in range(len(inputs))
        ]
        for wire, records in enumerate(inputs):
            give(store, activation_id, f"o{wire}", records)
        outputs = {
            "x": [
                add_channel(store, "b.in", target, wire=wire, output="x", activation_id=activation_id)
                for wire, target in ((10, "c.in"), (11, "d.in"))
            ],
            "y": [add_channel(store, "b.in", "c.in", wire=12, output="y", activation_id=activation_id)],
        }
        task = started(store, add_task(store, name=f"t-{activation_id}", activation_id=activation_id))
        return cls(store, activation_id, task, ids, outputs)

    def received(self) -> dict[str, list[list[Any]]]:
        return {output: [records_of(self.store, item) for item in ids] for output, ids in self.outputs.items()}

    def acked(self) -> list[int]:
        found = [channels.find(self.store.read, channel_id) for channel_id in self.inputs]
        return [channel.acked for channel in found if channel is not None]

    def everything(self) -> object:
        now = found(self.store, self.task.task_id)
        return self.received(), self.acked(), now, tasks.attempts(self.store.read, now.task_id)


def give(store: Store, activation_id: str, output: str, records: list[Any]) -> None:
    if records:
        append(store, records, activation_id=activation_id, output=output)


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench.build(store, [[10, 11, 12], [20]])


# One sentence each


def test_outputs_and_acknowledgement_are_one_commit(bench: Bench) -> None:
    before = bench.store.commits
    apply(
        bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1, 2), sent("y", 3)), acks=(ack(bench, 0, 0, 2),))
    )
    assert bench.store.commits == before + 1
    assert bench.received() == {"x": [[1, 2], [1, 2]], "y": [[3]]}
    assert bench.acked() == [2, 0]
    assert found(bench.store, bench.task.task_id).sent == 3


def ack(bench: Bench, index: int, first: int, next: int) -> Acked:
    return Acked(channel_id=bench.inputs[index], first=first, next=next)


def test_a_resend_does_nothing(bench: Bench) -> None:
    first = Commit(sequence=1, sent=(sent("x", 1),), acks=(ack(bench, 0, 0, 1),))
    second = Commit(sequence=2, sent=(sent("x", 2),))
    apply(bench.store, bench.task, first)
    apply(bench.store, bench.task, second)
    before = bench.everything()
    for again in (second, first, second):
        apply(bench.store, bench.task, again)
    assert bench.everything() == before


def test_the_store_knows_whether_more_is_under_way(bench: Bench) -> None:
    def is_open() -> bool:
        return found(bench.store, bench.task.task_id).sender_open

    assert not is_open()
    apply(bench.store, bench.task, Commit(sequence=1, sender="p", open=True, sent=(sent("x", 1),)))
    assert is_open()
    apply(bench.store, bench.task, Commit(sequence=2, sender="p"))
    assert not is_open()
    bench.store.write(lambda tx: commits.open_sender(tx, bench.task.task_id, 1, "p")).result()
    assert is_open()
    assert not next_attempt(bench.store, bench.task).sender_open


def test_a_process_may_send_when_the_one_before_it_has_said_goodbye(bench: Bench) -> None:
    first, second = Commit(sequence=1, sender="p", open=True), Commit(sequence=1, sender="q", sent=(sent("x", 2),))
    apply(bench.store, bench.task, first)
    with pytest.raises(InvalidInput, match="another process"):
        apply(bench.store, bench.task, second)
    with pytest.raises(InvalidInput, match="another process"):
        bench.store.write(lambda tx: commits.open_sender(tx, bench.task.task_id, 1, "q")).result()
    apply(bench.store, bench.task, replace(first, sequence=2, open=False, sent=(sent("x", 1),)))
    for _ in range(2):  # the second one is a resend
        apply(bench.store, bench.task, second)
    assert bench.received()["x"] == [[1, 2], [1, 2]]


def test_a_task_that_is_no_stream_acknowledges_nothing(store: Store) -> None:
    bench = Bench.build(store, [[10, 11]])
    task = started(store, add_task(store, name="m", activation_id=bench.activation_id, receives="message"))
    for commit in (Commit(sequence=1, acks=(ack(bench, 0, 0, 1),)), Commit(sequence=1, hand=(bench.inputs[0], 0))):
        with pytest.raises(InvalidInput, match="not an input of this task"):
            apply(store, task, commit)
    assert bench.acked() == [0]


def test_a_commit_that_is_refused_changes_nothing_and_can_be_corrected(bench: Bench) -> None:
    before = bench.everything()
    with pytest.raises(InvalidInput):
        apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1),), acks=(ack(bench, 0, 0, 9),)))
    assert bench.everything() == before
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1),)))
    assert bench.received()["x"] == [[1], [1]]


@pytest.mark.parametrize(("first", "next"), [(0, 4), (1, 2), (4, 4)])
def test_an_acknowledgement_past_the_end_or_with_a_gap_is_refused(bench: Bench, first: int, next: int) -> None:
    with pytest.raises(InvalidInput, match="does not follow"):
        apply(bench.store, bench.task, Commit(sequence=1, acks=(ack(bench, 0, first, next),)))
    assert bench.acked() == [0, 0]


def test_an_acknowledgement_never_goes_back(bench: Bench) -> None:
    apply(bench.store, bench.task, Commit(sequence=1, acks=(ack(bench, 0, 0, 2),)))
    apply(bench.store, bench.task, Commit(sequence=2, acks=(ack(bench, 0, 0, 1),)))
    assert bench.acked() == [2, 0]


def test_an_acknowledgement_that_acknowledges_nothing_does_not_forget_what_was_sent(bench: Bench) -> None:
    hand = (bench.inputs[0], 0)
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1),), hand=hand))
    apply(bench.store, bench.task, Commit(sequence=2, acks=(ack(bench, 0, 0, 0),), hand=hand))
    second = next_attempt(bench.store, bench.task)
    apply(bench.store, second, Commit(sequence=1, sent=(sent("x", 1, 2),), acks=(ack(bench, 0, 0, 1),)))
    assert bench.received()["x"] == [[1, 2], [1, 2]]


def test_a_channel_that_is_no_input_of_the_task_is_refused(bench: Bench) -> None:
    other = Bench.build(bench.store, [[1]])
    for channel_id in (bench.outputs["x"][0], other.inputs[0], 999_999):
        wanted = Acked(channel_id=channel_id, first=0, next=1)
        with pytest.raises(InvalidInput, match="not an input of this task"):
            apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1),), acks=(wanted,)))
    assert bench.received()["x"] == [[], []]
    assert other.acked() == [0]


def test_an_output_that_nobody_takes_is_accepted(bench: Bench) -> None:
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("z", 1),), acks=(ack(bench, 0, 0, 1),)))
    assert bench.received() == {"x": [[], []], "y": [[]]}
    assert bench.acked() == [1, 0]


def stale_speakers(bench: Bench) -> list[Task]:
    """Return the task as seen by several senders without the right to speak for it."""
    second = next_attempt(bench.store, bench.task)
    return [bench.task, started_as(second, 3), started_as(second, 0)]


def started_as(task: Task, attempt: int) -> Task:
    return replace(task, attempt=attempt)


def test_an_attempt_that_is_not_the_current_one_changes_nothing(bench: Bench) -> None:
    speakers = stale_speakers(bench)
    before = bench.everything()
    for speaker in speakers:
        with pytest.raises(StaleAttempt):
            apply(bench.store, speaker, Commit(sequence=9, sent=(sent("x", 1),), acks=(ack(bench, 0, 0, 1),)))
        with pytest.raises(StaleAttempt):
            bench.store.write(
                lambda tx, speaker=speaker: commits.message(tx, speaker.task_id, speaker.attempt, sent("x", 1), key="k")  # type: ignore[misc]
            ).result()
    assert bench.everything() == before


@pytest.mark.parametrize("how", ["queued", "cancel", "complete", "failed", "unknown"])
def test_an_attempt_whose_task_is_over_may_not_speak(bench: Bench, how: str) -> None:
    task = bench.task
    if how == "queued":
        bench.store.write(lambda tx: tasks.requeue(tx, task, LOST, Again(lost=True, not_before_at=0))).result()
    elif how == "cancel":
        bench.store.write(lambda tx: tasks.ask_cancel(tx, task, "enough")).result()
    elif how == "unknown":
        task = started_as(add_task(bench.store, name="other", worker=2, activation_id=bench.activation_id), 1)
    else:
        state = TaskState.COMPLETE if how == "complete" else TaskState.FAILED
        bench.store.write(lambda tx: tasks.end(tx, task, state, Ending(exit_code=0))).result()
    with pytest.raises(StaleAttempt):
        apply(bench.store, task, Commit(sequence=1, sent=(sent("x", 1),)))
    assert bench.received()["x"] == [[], []]


def test_an_attempt_may_speak_before_the_executor_has_answered(bench: Bench) -> None:
    queued = add_task(bench.store, name="early", worker=2, activation_id=bench.activation_id)
    starting = bench.store.write(lambda tx: tasks.start(tx, queued, "fake")).result()
    assert starting is not None
    apply(bench.store, starting, Commit(sequence=1, sent=(sent("x", 1),)))
    assert bench.received()["x"] == [[1], [1]]


@pytest.mark.parametrize("again", [[9], [1, 9], [1, 2, 9], [2, 1, 3], [1, 2, 4, 3]])
def test_a_replay_that_sends_something_else_is_refused_and_changes_nothing(bench: Bench, again: list[int]) -> None:
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1, 2, 3),), hand=(bench.inputs[0], 0)))
    second = next_attempt(bench.store, bench.task)
    with pytest.raises(ReplayDiffers, match="replay differs"):
        apply(bench.store, second, Commit(sequence=1, sent=(sent("x", *again),), acks=(ack(bench, 0, 0, 1),)))
    assert bench.received()["x"] == [[1, 2, 3], [1, 2, 3]]
    assert bench.acked() == [0, 0]


@pytest.mark.parametrize("outputs", ["", "x", "y"])
def test_a_replay_that_leaves_something_out_is_refused(bench: Bench, outputs: str) -> None:
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1), sent("y", 2)), hand=(bench.inputs[0], 0)))
    second = next_attempt(bench.store, bench.task)
    repeated = {"x": sent("x", 1), "y": sent("y", 2)}
    wanted = tuple(repeated[output] for output in outputs)
    with pytest.raises(ReplayDiffers, match="sent 0 records to output"):
        apply(bench.store, second, Commit(sequence=1, sent=wanted, acks=(ack(bench, 0, 0, 1),)))
    apply(bench.store, second, Commit(sequence=1, sent=wanted))
    with pytest.raises(ReplayDiffers):
        complete(bench.store, second)
    assert found(bench.store, second.task_id).state is TaskState.ACTIVE


def test_the_record_in_hand_is_known_until_it_is_finished(bench: Bench) -> None:
    hand = (bench.inputs[0], 0)
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1),), hand=hand))
    second = next_attempt(bench.store, bench.task)
    assert second.hand is not None
    assert tuple(json.loads(second.hand)) == hand
    apply(bench.store, second, Commit(sequence=1, sent=(sent("x", 1),), acks=(ack(bench, 0, 0, 1),)))
    assert found(bench.store, second.task_id).hand is None


def test_held_records_are_released_at_the_end_in_their_order(bench: Bench) -> None:
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1), sent("y", 2)), hold=True))
    apply(bench.store, bench.task, Commit(sequence=2, sent=(sent("x", 3, 4),), hold=True))
    assert bench.received() == {"x": [[], []], "y": [[]]}
    complete(bench.store, bench.task)
    assert bench.received() == {"x": [[1, 3, 4], [1, 3, 4]], "y": [[2]]}
    assert found(bench.store, bench.task.task_id).sent == 4


def test_what_a_dead_attempt_held_is_never_released(bench: Bench) -> None:
    apply(bench.store, bench.task, Commit(sequence=1, sent=(sent("x", 1),), hold=True))
    second = next_attempt(bench.store, bench.task)
    apply(bench.store, second, Commit(sequence=1, sent=(sent("x", 2),), hold=True))
    complete(bench.store, second)
    assert bench.received()["x"] == [[2], [2]]


def test_a_plain_message_is_stored_once_per_key_and_always_without_one(bench: Bench) -> None:
    def say(task: Task, record: object, key: str | None = None) -> None:
        bench.store.write(
            lambda tx: commits.message(tx, task.task_id, task.attempt, sent("x", record), key=key)
        ).result()

    for key in ("a", "a", "b"):
        say(bench.task, key, key)
    say(bench.task, "free")
    say(bench.task, "free")
    second = next_attempt(bench.store, bench.task)
    say(second, "a", "a")
    say(second, "c", "c")
    assert bench.received()["x"][0] == ["a", "b", "free", "free", "c"]
    assert found(bench.store, second.task_id).sent == 5


# The model: whatever dies and is repeated, downstream sees no difference


@dataclass
class Program:
    """A deterministic stream skill with its runtime layer, one attempt at a time."""

    bench: Bench
    order: list[tuple[int, int]]  # (input, offset): the order of the inputs, the same in each run
    answers: list[list[tuple[str, int]]]  # outputs of each record of `order`
    task: Task
    sequence: int = 0
    at: int = 0  # the record in hand, in `order`
    step: int = 0  # outputs made of that record
    acked: int = 0  # in `order`
    finished: list[tuple[str, int]] = field(default_factory=list)
    in_hand: list[tuple[str, int]] = field(default_factory=list)
    history: list[Commit] = field(default_factory=list)  # this attempt's
    former: list[tuple[Task, Commit]] = field(default_factory=list)  # earlier attempts'

    def work(self) -> bool:
        """Make one more output, or finish the record; return False if nothing is left to do."""
        if self.at == len(self.order):
            return False
        if self.step < len(self.answers[self.at]):
            self.in_hand.append(self.answers[self.at][self.step])
            self.step += 1
        else:
            self.finished += self.in_hand
            self.in_hand, self.step, self.at = [], 0, self.at + 1
        return True

    def commit(self, pieces: int) -> None:
        """Commit finished records, else the outputs of the record in hand."""
        hand, acks = None, self._acks()
        if self.finished or acks:
            outputs, self.finished, self.acked = self.finished, [], self.at
        elif self.in_hand:
            outputs, self.in_hand = self.in_hand, []
            channel, offset = self.order[self.at]
            hand = (self.bench.inputs[channel], offset)
        else:
            return
        self.sequence += 1
        commit = Commit(sequence=self.sequence, sent=grouped(outputs, pieces), acks=acks, hand=hand)
        apply(self.bench.store, self.task, commit)
        self.history.append(commit)

    def _acks(self) -> tuple[Acked, ...]:
        found: dict[int, tuple[int, int]] = {}
        for channel, offset in self.order[self.acked : self.at]:
            first, _ = found.get(channel, (offset, 0))
            found[channel] = (first, offset + 1)
        return tuple(
            Acked(channel_id=self.bench.inputs[channel], first=first, next=next)
            for channel, (first, next) in found.items()
        )

    def resend(self, number: int) -> None:
        if self.history:
            apply(self.bench.store, self.task, self.history[number % len(self.history)])

    def die(self) -> None:
        """Start the next attempt, which knows only what is stored."""
        self.former += [(self.task, commit) for commit in self.history]
        self.task = next_attempt(self.bench.store, self.task)
        acked = self.bench.acked()
        self.acked = self.at = next(
            (index for index, (channel, offset) in enumerate(self.order) if offset >= acked[channel]), len(self.order)
        )
        assert sum(acked) == self.at, "acknowledged in order"
        if self.task.hand is not None:
            channel, offset = self.order[self.at]
            assert json.loads(self.task.hand) == [self.bench.inputs[channel], offset], "the record in hand comes first"
        self.sequence, self.step, self.finished, self.in_hand, self.history = 0, 0, [], [], []

    def ghost(self, number: int) -> None:
        """Let an abandoned attempt send a commit again."""
        if self.former:
            task, commit = self.former[number % len(self.former)]
            before = self.bench.everything()
            with pytest.raises(StaleAttempt):
                apply(self.bench.store, task, commit)
            assert self.bench.everything() == before

    def finish(self) -> None:
        while self.work():
            pass
        self.commit(1)
        complete(self.bench.store, self.task)

    def expected(self) -> dict[str, list[list[int]]]:
        made = {
            output: [value for answer in self.answers for name, value in answer if name == output] for output in "xy"
        }
        return {"x": [made["x"], made["x"]], "y": [made["y"]]}


def grouped(outputs: list[tuple[str, int]], pieces: int) -> tuple[Sent, ...]:
    """Return the records by output, each in up to `pieces` pieces."""
    parts = []
    for output in dict.fromkeys(name for name, _ in outputs):
        records = [value for name, value in outputs if name == output]
        size = max(1, len(records) // pieces)
        parts += [sent(output, *records[start : start + size]) for start in range(0, len(records), size)]
    return tuple(parts)


ANSWERS = st.lists(
    st.tuples(st.integers(0, 1), st.lists(st.tuples(st.sampled_from("xxxyz"), st.integers(0, 30)), max_size=8)),
    min_size=3,
    max_size=6,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("work"), st.integers(1, 6)),
        st.tuples(st.just("commit"), st.integers(1, 3)),
        st.tuples(st.just("commit"), st.integers(1, 3)),
        st.tuples(st.just("die"), st.just(0)),
        st.tuples(st.sampled_from(["resend", "ghost"]), st.integers(0, 99)),
    ),
    min_size=12,
    max_size=40,
)


@settings(PROPERTY, max_examples=120)
@given(records=ANSWERS, steps=STEPS)
def test_whatever_dies_and_is_repeated_downstream_is_as_if_nothing_had_happened(
    store: Store, records: list[tuple[int, list[tuple[str, int]]]], steps: list[tuple[str, int]]
) -> None:
    counts = [0, 0]
    order = []
    for channel, _ in records:
        order.append((channel, counts[channel]))
        counts[channel] += 1
    bench = Bench.build(store, [list(range(count)) for count in counts])
    program = Program(bench, order, [answer for _, answer in records], bench.task)
    for what, number in steps:
        if what == "work":
            for _ in range(number):
                program.work()
        elif what == "commit":
            program.commit(number)
        elif what == "resend":
            before = bench.everything()
            program.resend(number)
            assert bench.everything() == before
        elif what == "ghost":
            program.ghost(number)
        else:
            program.die()
        for output, ids in bench.received().items():
            for index, received in enumerate(ids):
                assert received == program.expected()[output][index][: len(received)], "a prefix, at any moment"
    program.finish()
    assert bench.received() == program.expected()
    assert bench.acked() == counts
    assert found(store, program.task.task_id).sent == sum(len(answer) for _, answer in records)


@PROPERTY
@given(
    records=st.lists(st.tuples(st.sampled_from("xxxyz"), st.integers(0, 30)), min_size=8, max_size=20),
    attempts=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=2, max_size=5),
)
def test_a_source_that_is_tried_again_stores_each_record_once(
    store: Store, records: list[tuple[str, int]], attempts: list[tuple[int, int]]
) -> None:
    """`attempts` says how many records each attempt sends before it dies, and how many in one commit."""
    bench = Bench.build(store, [[]])
    task = bench.task
    for number, (count, size) in enumerate([*attempts, (len(records), 7)]):
        for sequence, start in enumerate(range(0, min(count, len(records)), size), start=1):
            part = records[start : min(start + size, count)]
            apply(store, task, Commit(sequence=sequence, sent=grouped(part, size % 2 + 1)))
        if number < len(attempts):
            task = next_attempt(store, task)
    complete(store, found(store, task.task_id))
    made = {output: [value for name, value in records if name == output] for output in "xy"}
    assert bench.received() == {"x": [made["x"], made["x"]], "y": [made["y"]]}


@PROPERTY
@given(
    attempts=st.lists(
        st.lists(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), max_size=4), max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_only_what_the_last_attempt_held_comes_out(store: Store, attempts: list[list[list[tuple[str, int]]]]) -> None:
    bench = Bench.build(store, [[1, 2, 3]])
    task = bench.task
    for number, parts in enumerate(attempts):
        if number:
            task = next_attempt(store, task)
        for sequence, part in enumerate(parts, start=1):
            for _ in range(2):  # each is also sent again
                apply(store, task, Commit(sequence=sequence, sent=grouped(part, 1), hold=True))
        assert bench.received() == {"x": [[], []], "y": [[]]}
    complete(store, found(store, task.task_id))
    last = [item for part in attempts[-1] for item in part]
    made = {output: [value for name, value in last if name == output] for output in "xy"}
    assert bench.received() == {"x": [made["x"], made["x"]], "y": [made["y"]]}

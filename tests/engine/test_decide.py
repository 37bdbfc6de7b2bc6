"""The decision what happens next, a pure function of a snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fabric_jobs.definitions import Batch
from fabric_jobs.engine.decide import (
    AskWhetherItRuns,
    AwaitSlot,
    CancelActivation,
    CreateTasks,
    Decision,
    FinishTask,
    LaunchAttempt,
    LookAgain,
    StartTask,
    StopAttempt,
    decide,
)
from fabric_jobs.engine.snapshot import Snapshot
from fabric_jobs.executors.base import STOPPED, AttemptExit
from fabric_jobs.records import Task
from fabric_jobs.routing import SOURCE, Node, Plan
from fabric_jobs.states import ActivationState, TaskState
from tests.factories import activation, channel, node, plan, task

A, B = node("a.in", workers=2), node("b.in", workers=2)
STREAM = node("s.in", stream=True)
ENDED = activation(state=ActivationState.ERROR)


def snapshot(*nodes: Node, **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "activation": activation(),
        "plan": plan(*nodes),
        "channels": (),
        "live": (),
        "streams": {},
        "now": 1000.0,
        "free_slots": 8,
        "cpus": 4,
    }
    accepted = frozenset(live.task_id for live in changes.get("live", ()) if live.state is not TaskState.STARTING)
    return Snapshot(**{**values, "accepted": accepted, **changes})


def waiting(count: int, *, to: Node = A, channel_id: int = 1, dispatched: int = 0) -> Any:
    """Return a channel with `count` records that have no task yet."""
    return channel(channel_id=channel_id, node=to.key, dispatched=dispatched, next_offset=dispatched + count)


def running(
    count: int, state: TaskState = TaskState.ACTIVE, *, of: Node = A, first: int = 1, **changes: Any
) -> tuple[Task, ...]:
    return tuple(task(task_id=first + index, node=of.key, state=state, **changes) for index in range(count))


def created(decisions: list[Decision]) -> list[tuple[str, int | None, int, int, int]]:
    """Return node, channel, first offset, count, and number to start at once, of the tasks to be made."""
    return [
        (decision.node.key, *_span(decision), decision.start)
        for decision in decisions
        if isinstance(decision, CreateTasks)
    ]


def _span(decision: CreateTasks) -> tuple[int | None, int, int]:
    first = decision.takes[0]
    if first is None:
        return None, 0, len(decision.takes)
    assert [lease and lease.first for lease in decision.takes] == list(
        range(first.first, first.first + len(decision.takes))
    )
    return first.channel_id, first.first, len(decision.takes)


def others(decisions: list[Decision]) -> list[Decision]:
    return [decision for decision in decisions if not isinstance(decision, CreateTasks)]


# Making tasks


def test_nothing_to_do_is_no_decision() -> None:
    assert decide(snapshot(A)) == []


def test_the_task_of_a_stream_is_made_once() -> None:
    assert created(decide(snapshot(STREAM))) == [("s.in", None, 0, 1, 1)]
    assert created(decide(snapshot(STREAM, streams={"s.in": 1}))) == []


def test_a_stream_needs_no_record_and_no_slot() -> None:
    assert created(decide(snapshot(STREAM, A, free_slots=0, channels=(waiting(0),)))) == [("s.in", None, 0, 1, 1)]


@pytest.mark.parametrize(("records", "live", "free", "expected"), [
    (1, (), 8, [(0, 1, 1)]),
    (3, (), 8, [(0, 3, 2)]),               # two workers, window of four
    (9, (), 8, [(0, 4, 2)]),
    (9, running(2), 8, [(0, 2, 0)]),       # both workers are busy
    (9, running(1), 8, [(0, 3, 1)]),
    (9, running(4, TaskState.QUEUED), 8, []),
    (9, running(1) + running(1, TaskState.QUEUED, first=7), 8, [(0, 2, 0)]),  # the queued one gets the other worker
    (9, (), 1, [(0, 4, 1)]),
    (9, (), 0, [(0, 4, 1)]),               # one slot is guaranteed
    (9, running(1), 0, [(0, 3, 0)]),
    (9, (), -3, [(0, 4, 1)]),
    (0, (), 8, []),
])  # fmt: skip
def test_one_task_per_record_within_a_window_of_twice_the_workers(
    records: int, live: tuple[Task, ...], free: int, expected: list[tuple[int, int, int]]
) -> None:
    found = created(decide(snapshot(A, channels=(waiting(records),), live=live, free_slots=free)))
    assert [item[2:] for item in found] == expected


BATCHED = node("c.in", workers=2, receives="batch", batch=Batch(size=10, seconds=5.0))


@pytest.mark.parametrize(("records", "changes", "takes", "again_at"), [
    (10, {}, [(0, 10)], None),
    (9, {}, [], 1005.0),
    (9, {"since": 997.0}, [], 1002.0),
    (9, {"since": 995.0}, [(0, 9)], None),
    (9, {"ended": True}, [(0, 9)], None),
    (25, {}, [(0, 10), (10, 20)], 1005.0),
    (25, {"ended": True}, [(0, 10), (10, 20), (20, 25)], None),
    (99, {"ended": True}, [(0, 10), (10, 20), (20, 30), (30, 40)], None),  # a window of four
    (0, {"ended": True}, [], None),
])  # fmt: skip
def test_a_batch_is_full_or_has_waited_or_is_the_last(
    records: int, changes: dict[str, Any], takes: list[tuple[int, int]], again_at: float | None
) -> None:
    item = channel(node="c.in", next_offset=records, ended=changes.get("ended", False))
    since = {item.channel_id: changes["since"]} if "since" in changes else {}
    found = decide(snapshot(BATCHED, channels=(item,), waiting=since))
    made = [lease and lease[1:3] for each in found if isinstance(each, CreateTasks) for lease in each.takes]
    assert made == takes
    assert [each.at for each in found if isinstance(each, LookAgain)] == ([again_at] if again_at else [])


def test_every_worker_of_a_stream_is_made_at_once_and_once() -> None:
    several = node("s.in", stream=True, workers=3)
    (made,) = decide(snapshot(several))
    assert isinstance(made, CreateTasks)
    assert (made.takes, made.start) == ((None, None, None), 3)
    assert decide(snapshot(several, streams={"s.in": 3})) == []


def test_the_number_of_processors_stands_in_for_workers() -> None:
    unset = node("u.in")
    assert created(decide(snapshot(unset, channels=(waiting(99, to=unset),), cpus=3))) == [("u.in", 1, 0, 6, 3)]


def test_several_channels_of_one_node_share_its_window_and_its_workers() -> None:
    found = decide(snapshot(A, channels=(waiting(3), waiting(9, channel_id=2, dispatched=5))))
    assert created(found) == [("a.in", 1, 0, 3, 2), ("a.in", 2, 5, 1, 0)]


def test_nodes_share_the_free_slots_and_each_is_sure_of_one() -> None:
    channels = (waiting(9), waiting(9, to=B, channel_id=2))
    for free, starts in ((8, [2, 2]), (3, [2, 1]), (2, [2, 1]), (1, [1, 1]), (0, [1, 1])):
        found = created(decide(snapshot(A, B, channels=channels, free_slots=free)))
        assert [item[4] for item in found] == starts, free


def test_queued_tasks_of_several_nodes_share_the_free_slots_too() -> None:
    live = running(2, TaskState.QUEUED, of=A) + running(2, TaskState.QUEUED, of=B, first=3)
    for free, starts in ((8, [1, 2, 3, 4]), (3, [1, 2, 3]), (2, [1, 2, 3]), (1, [1, 3]), (0, [1, 3])):
        found = [
            decision.task.task_id
            for decision in decide(snapshot(A, B, live=live, free_slots=free))
            if isinstance(decision, StartTask)
        ]
        assert found == starts, free


def test_a_response_channel_makes_no_tasks() -> None:
    assert decide(snapshot(A, channels=(channel(node=SOURCE, next_offset=3),))) == []


# Tasks that wait


def test_queued_tasks_start_in_their_order_as_far_as_there_is_room() -> None:
    live = running(1) + running(3, TaskState.QUEUED, first=5)
    assert decide(snapshot(A, live=live)) == [StartTask(task=live[1])]
    assert decide(snapshot(A, live=live[1:])) == [StartTask(task=live[1]), StartTask(task=live[2])]
    assert decide(snapshot(A, live=live, free_slots=0)) == [AwaitSlot()]


def test_a_queued_stream_starts_whatever_the_slots() -> None:
    queued = task(node="s.in", state=TaskState.QUEUED, receives="stream")
    found = decide(snapshot(STREAM, live=(queued,), streams={"s.in": 1}, free_slots=0))
    assert found == [StartTask(task=queued)]


def test_a_task_does_not_start_before_its_moment() -> None:
    (queued,) = running(1, TaskState.QUEUED, not_before_at=1000.5)
    assert decide(snapshot(A, live=(queued,))) == [LookAgain(at=1000.5)]
    assert decide(snapshot(A, live=(queued,), now=1000.5)) == [StartTask(task=queued)]


# Tasks that run


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.ACTIVE])
def test_a_task_that_is_not_in_the_hands_of_this_engine_is_taken_over(state: TaskState) -> None:
    (live,) = running(1, state)
    assert decide(snapshot(A, live=(live,), accepted=frozenset())) == [LaunchAttempt(task=live)]
    assert decide(snapshot(A, live=(live,), accepted=frozenset({1}))) == []


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.ACTIVE])
@pytest.mark.parametrize("cancel", [True, False])
def test_an_attempt_that_ended_finishes_the_task(state: TaskState, cancel: bool) -> None:
    (live,) = running(1, state, cancel_requested=cancel)
    ended = AttemptExit(3)
    assert decide(snapshot(A, live=(live,), exits={1: ended})) == [FinishTask(task=live, exit=ended)]


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.ACTIVE])
def test_the_timeout_stops_an_attempt_and_is_waited_for_before(state: TaskState) -> None:
    limited = node("a.in", timeout=60)
    (live,) = running(1, state, not_before_at=950.0)
    accepted = frozenset({1})
    before = snapshot(limited, live=(live,), accepted=accepted, now=1009.9)
    assert decide(before) == [LookAgain(at=1010.0)]
    after = replace(before, now=1010.0)
    assert decide(after) == [AskWhetherItRuns(task=live)]
    assert decide(replace(after, running_late=accepted)) == [StopAttempt(task=live)]
    assert decide(replace(after, accepted=frozenset())) == [LaunchAttempt(task=live)]


def test_another_try_has_its_own_timeout() -> None:
    limited = node("a.in", timeout=60)
    (live,) = running(1, not_before_at=990.0, attempt=2)
    assert decide(snapshot(limited, live=(live,))) == [LookAgain(at=1050.0)]


# Cancelling and ending


def test_somebody_asked_to_cancel_comes_before_everything() -> None:
    asked = activation(cancel_requested=True)
    found = decide(snapshot(A, STREAM, activation=asked, live=running(2), channels=(waiting(9),)))
    assert found == [CancelActivation()]


def test_a_task_that_is_to_stop_is_stopped_or_finished() -> None:
    queued, starting, active = (
        task(task_id=number, node="a.in", state=state, cancel_requested=True)
        for number, state in enumerate((TaskState.QUEUED, TaskState.STARTING, TaskState.ACTIVE), start=1)
    )
    assert decide(snapshot(A, activation=ENDED, live=(queued, starting, active))) == [
        FinishTask(task=queued, exit=AttemptExit(None, STOPPED)),
        StopAttempt(task=starting),
        StopAttempt(task=active),
    ]


@pytest.mark.parametrize("state", [state for state in ActivationState if state is not ActivationState.PENDING])
@pytest.mark.parametrize("cancel", [True, False])
def test_an_ended_activation_only_winds_down(state: ActivationState, cancel: bool) -> None:
    ended = activation(state=state, cancel_requested=cancel)
    live = (
        running(1, TaskState.QUEUED)
        + running(1, TaskState.STARTING, first=2)
        + running(1, first=3, cancel_requested=True)
    )
    found = decide(snapshot(A, STREAM, activation=ended, live=live, channels=(waiting(9),)))
    assert found == [StopAttempt(task=live[2])]


# Channels that end


def snap(
    made: Plan, live: tuple[str, ...] = (), waiting_at: tuple[str, ...] = (), done: tuple[str, ...] = ()
) -> Snapshot:
    """Return a snapshot with nodes that have a `live` task, records `waiting_at` nodes, and `done` streams."""
    channels = tuple(
        channel(
            channel_id=index + 1,
            wire=index,
            node=wire.target,
            ended=wire.source == SOURCE,
            next_offset=1 if wire.target in waiting_at else 0,
        )
        for index, wire in enumerate(made.wires)
    )
    tasks = tuple(task(task_id=index + 1, node=key, state=TaskState.ACTIVE) for index, key in enumerate(live))
    streams = {key: 1 for key in (*live, *done) if key in made.nodes and made.nodes[key].is_stream}
    return snapshot(activation=activation(), plan=made, channels=channels, live=tasks, streams=streams)


def ends(made: Plan, **where: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the wires whose channels end now, as (source, target)."""
    found = snap(made, **where).ended_channels()
    return [(made.wires[item.wire].source, made.wires[item.wire].target) for item in found]


a, b, c, d = (node(f"{letter}.in") for letter in "abcd")
S = node("s.in", stream=True)
CHAIN = plan(a, b, wires=[(SOURCE, "a.in"), ("a.in", "b.in"), ("b.in", SOURCE)])
DIAMOND = plan(
    a, b, c, d,
    wires=[(SOURCE, "a.in"), ("a.in", "b.in"), ("a.in", "c.in"), ("b.in", "d.in"), ("c.in", "d.in"), ("d.in", SOURCE)],
)  # fmt: skip
CYCLE = plan(a, b, wires=[(SOURCE, "a.in"), ("a.in", "b.in"), ("b.in", "a.in"), ("b.in", SOURCE)])
STREAMED = plan(a, S, wires=[(SOURCE, "a.in"), ("a.in", "s.in"), ("s.in", SOURCE)])
ALL_OF_THE_DIAMOND = [("a.in", "b.in"), ("a.in", "c.in"), ("b.in", "d.in"), ("c.in", "d.in"), ("d.in", SOURCE)]


@pytest.mark.parametrize(("made", "where", "expected"), [
    (CHAIN, {"waiting_at": ("a.in",)}, []),
    (CHAIN, {"live": ("a.in",)}, []),
    (CHAIN, {"live": ("b.in",)}, [("a.in", "b.in")]),
    (CHAIN, {"waiting_at": ("b.in",)}, [("a.in", "b.in")]),
    (CHAIN, {}, [("a.in", "b.in"), ("b.in", SOURCE)]),
    (DIAMOND, {"live": ("a.in",)}, []),
    (DIAMOND, {"live": ("b.in",)}, [("a.in", "b.in"), ("a.in", "c.in"), ("c.in", "d.in")]),
    (DIAMOND, {"live": ("b.in", "c.in")}, [("a.in", "b.in"), ("a.in", "c.in")]),
    (DIAMOND, {"live": ("d.in",)}, ALL_OF_THE_DIAMOND[:4]),
    (DIAMOND, {}, ALL_OF_THE_DIAMOND),
    (CYCLE, {"live": ("a.in",)}, []),
    (CYCLE, {"live": ("b.in",)}, []),
    (CYCLE, {"waiting_at": ("a.in",)}, []),
    (CYCLE, {}, [("a.in", "b.in"), ("b.in", "a.in"), ("b.in", SOURCE)]),
    (STREAMED, {"live": ("a.in", "s.in")}, []),
    (STREAMED, {"live": ("a.in",), "done": ("s.in",)}, []),  # further records of `a` are dropped, but it may still send
    (STREAMED, {"live": ("s.in",)}, [("a.in", "s.in")]),
    (STREAMED, {}, [("a.in", "s.in")]),  # it gets a task even without a record
    (STREAMED, {"done": ("s.in",)}, [("a.in", "s.in"), ("s.in", SOURCE)]),
])  # fmt: skip
def test_a_channel_ends_when_nobody_upstream_may_send(
    made: Plan, where: dict[str, tuple[str, ...]], expected: list[tuple[str, str]]
) -> None:
    assert ends(made, **where) == expected


def test_a_channel_ends_once() -> None:
    taken = snap(CHAIN)
    ended = replace(taken, channels=tuple(replace(item, ended=True) for item in taken.channels))
    assert ended.ended_channels() == []


def test_who_is_busy() -> None:
    assert snap(STREAMED).busy() == {"s.in"}
    assert snap(STREAMED, waiting_at=("a.in",)).busy() == {"a.in", "s.in"}
    assert snap(STREAMED, live=("s.in",)).busy() == {"s.in"}
    assert snap(STREAMED, done=("s.in",)).busy() == set()
    assert snap(STREAMED, waiting_at=("s.in",), done=("s.in",)).busy() == set()  # it has finished, whatever is left
    assert snap(CYCLE).busy() == set()

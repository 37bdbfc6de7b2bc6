"""The engine with a real store: tasks are made, handed over, ended and tried again, and activations end correctly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric_jobs.engine import engine
from fabric_jobs.engine.places import Places
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound
from fabric_jobs.executors.base import AttemptExit, AttemptSpec
from fabric_jobs.records import Channel, Task
from fabric_jobs.routing import Plan
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Tx, activations, channels, events, leases, tasks
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.tasks import NewTask
from tests.engine.bench import Bench
from tests.factories import PROJECT, invocation, save_skill, skill_document

CHAIN = [("input", "a.in"), ("a.out", "b.in"), ("b.out", "output")]
STREAM = {"receives": "stream"}


# One skill


def test_what_a_program_prints_is_the_response(bench: Bench) -> None:
    activation_id = bench.skill("a")
    task = bench.finish("a.in", stdout=b"hello\n", stderr=b"noise")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.response(activation_id) == ["hello\n"]
    done = bench.task(task)
    assert (done.state, done.exit_code, done.sent) == (TaskState.COMPLETE, 0, 1)


def test_what_a_program_sends_is_the_response_and_what_it_prints_is_not(bench: Bench) -> None:
    activation_id = bench.skill("a")
    task = bench.running("a.in")
    bench.send(task, 1, {"two": 2})
    bench.finish("a.in", stdout=b"done")
    bench.ended(activation_id)
    assert bench.response(activation_id) == [1, {"two": 2}]


@pytest.mark.parametrize(("response", "stdout", "expected"), [
    ("json", b' {"n": 1.5,\n "t": "\xc3\xa4"} ', {"n": 1.5, "t": "ä"}),
    ("stdout", b"out", "out"),
    ("combined", b"out", "outerr"),
    ("stdout", b"", ""),
    ("stdout", b"\xff", "\ufffd"),
])  # fmt: skip
def test_the_response_is_read_as_the_action_says(bench: Bench, response: str, stdout: bytes, expected: object) -> None:
    activation_id = bench.skill("a", response=response)
    bench.finish("a.in", stdout=stdout, stderr=b"err")
    bench.ended(activation_id)
    assert bench.response(activation_id) == [expected]


@pytest.mark.parametrize("text", [b"", b"no json", b'{"a": 1} 2', b"NaN", b'{"a": Infinity}', b"[" * 100_000])
def test_a_json_response_that_is_none_fails_the_task(bench: Bench, text: bytes) -> None:
    activation_id = bench.skill("a", response="json")
    bench.finish("a.in", stdout=text)
    ended = bench.ended(activation_id)
    assert ended.state is ActivationState.ERROR
    assert "JSON" in ended.cause
    assert ended.error is not None
    assert ended.error["exitCode"] == 0


def test_a_response_over_the_limit_of_a_record_fails_the_task(tmp_path: Path) -> None:
    bench = Bench(tmp_path, record_bytes=100)
    activation_id = bench.skill("a")
    bench.finish("a.in", stdout=b"x" * 101)
    assert "over the limit of a record (100 bytes)" in bench.ended(activation_id).cause
    bench.close()


def test_a_stream_that_prints_nothing_has_no_response(bench: Bench) -> None:
    activation_id = bench.skill("s", **STREAM)
    bench.finish("s.in", stdout=b" \n")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.response(activation_id) == []


def test_a_stream_that_prints_has_it_as_its_response(bench: Bench) -> None:
    activation_id = bench.skill("s", **STREAM, response="json")
    bench.finish("s.in", stdout=b'{"n": 1}')
    bench.ended(activation_id)
    assert bench.response(activation_id) == [{"n": 1}]


def test_what_was_held_is_released_with_exit_code_0(bench: Bench) -> None:
    activation_id = bench.skill("s", **STREAM)
    bench.send(bench.running("s.in"), 1, 2, hold=True)
    assert bench.response(activation_id) == []
    bench.finish("s.in", stdout=b"not this")
    bench.ended(activation_id)
    assert bench.response(activation_id) == [1, 2]


def test_what_was_held_is_not_released_with_any_other_exit_code(bench: Bench) -> None:
    activation_id = bench.skill("s", **STREAM)
    bench.send(bench.running("s.in"), 1, 2, hold=True)
    bench.finish("s.in", 1)
    bench.ended(activation_id)
    assert bench.response(activation_id) == []


# The message


def test_the_program_gets_its_record_and_what_it_needs_to_answer(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a", environmentVariables='"MINE"="1"'), "/skills/a")
    bench.invoke("skill", "a", {"n": 1})
    task = bench.running("a.in")
    (process,) = bench.place.specs[task.attempt_name].processes
    message = json.loads(process.arguments[-1])
    assert (message["payload"], message["outputName"], message["projectId"]) == ({"n": 1}, "out", PROJECT)
    assert process.directory == Path("/skills/a")
    assert process.environment["CORTEX_PAYLOAD"] == process.arguments[-1]
    assert process.environment["FABRIC_JOBS_ATTEMPT"] == f"{task.task_id}-1"
    assert process.environment["MINE"] == "1"


def test_a_payload_too_long_for_a_command_line_comes_in_a_file(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a"))
    bench.invoke("skill", "a", "x" * 200_000)
    spec = bench.place.specs[bench.running("a.in").attempt_name]
    message = json.loads(spec.processes[0].arguments[-1])
    assert "payload" not in message
    assert message["payloadFile"] == f"/{spec.name}/payload.json"
    assert json.loads(spec.files["payload.json"]) == "x" * 200_000


def test_a_payload_may_be_kept_out_of_the_command_line(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a", message="file"))
    bench.invoke("skill", "a", "secret")
    spec = bench.place.specs[bench.running("a.in").attempt_name]
    (process,) = spec.processes
    assert "secret" not in str((process.arguments, process.environment))
    assert json.loads(process.arguments[-1])["payloadFile"] == f"/{spec.name}/payload.json"
    assert spec.files == {"payload.json": b'"secret"'}


# Failures


def test_a_failure_ends_the_activation_and_says_everything(bench: Bench) -> None:
    activation_id = bench.agent(CHAIN, a={}, b={})
    bench.finish("a.in", stdout=b"1")
    task = bench.finish("b.in", 3, stdout=b"ignored", stderr=b"\n".join(b"line %d" % n for n in range(30)))
    ended = bench.ended(activation_id)
    assert ended.state is ActivationState.ERROR
    assert ended.cause == "skill 'b' failed: exit code 3"
    assert ended.error == {
        "skill": "b",
        "action": "b",
        "task": task.name,
        "attempt": 1,
        "record": {"channel": task.channel_id, "offset": 0, "mapping": "a.out → b"},
        "exitCode": 3,
        "reason": "exit code 3",
        "lastLines": [f"line {n}" for n in range(10, 30)],
        "stream": "stderr",
        "logOffset": len(b"line 0\n") * 10 + len(b"line 10\n") * 19,
    }


def test_a_failure_stops_the_others(bench: Bench) -> None:
    wires = [("input", "a.in"), ("a.out", "b.in"), ("a.out", "c.in"), ("b.out", "output"), ("c.out", "output")]
    activation_id = bench.agent(wires, a={}, b={}, c={})
    bench.finish("a.in", stdout=b"1")
    other = bench.running("c.in")
    bench.finish("b.in", 1)
    assert bench.ended(activation_id).state is ActivationState.ERROR
    assert bench.task(other).state is TaskState.CANCELLED
    assert bench.place.stopped == [other.attempt_name], "what the failed one has left running is its place's to end"


def test_no_task_is_made_in_an_activation_that_has_just_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine sees the failure and new records in one look."""
    wires = [("input", "a.in"), ("a.x", "b.in"), ("a.y", "c.in"), ("b.out", "output"), ("c.out", "output")]
    activation_id = bench.agent(wires, a={"outputs": ("x", "y")}, b={}, c={})
    source = bench.running("a.in")
    bench.send(source, 1, output="x")
    failing = bench.running("b.in")
    looking, go_on = threading.Event(), threading.Event()
    exits = Places.exits

    def held(places: Places, of: str) -> dict[tuple[int, int], AttemptExit]:
        found = exits(places, of)
        if found and not looking.is_set():
            looking.set()
            assert go_on.wait(30)
        return found

    monkeypatch.setattr(Places, "exits", held)
    bench.place.finish(failing.attempt_name, 1)
    assert looking.wait(30)
    bench.send(source, 2, output="y", sequence=2)
    go_on.set()
    bench.ended(activation_id)
    assert bench.tasks("c.in") == []
    assert activations.unsettled(bench.store.read) == []


def test_a_program_that_cannot_be_started_fails_its_task(bench: Bench) -> None:
    bench.place.invalid = "there is no program"
    ended = bench.ended(bench.skill("a"))
    assert ended.cause == "skill 'a' failed: there is no program"


def test_a_skill_without_files_is_for_its_executor_to_run_or_refuse(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a"), source="")
    bench.invoke("skill", "a")
    assert bench.place.specs[bench.running("a.in").attempt_name].processes[0].directory is None


def test_a_failure_is_tried_again_as_often_as_the_action_says(bench: Bench) -> None:
    activation_id = bench.skill("a", retries={"limit": 2, "backoff_seconds": 0})
    for attempt in (1, 2):
        bench.until(lambda attempt=attempt: bench.running("a.in").attempt == attempt)  # type: ignore[misc]
        bench.finish("a.in", 1)
    bench.until(lambda: bench.running("a.in").attempt == 3)
    task = bench.finish("a.in", stdout=b"third")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert [attempt.exit_code for attempt in tasks.attempts(bench.store.read, task.task_id)] == [1, 1, 0]
    assert bench.task(task).failures == 2


def test_a_lost_attempt_is_tried_three_times_more(bench: Bench) -> None:
    activation_id = bench.skill("a")
    for attempt in range(1, 5):
        bench.until(lambda attempt=attempt: bench.running("a.in").attempt == attempt)  # type: ignore[misc]
        bench.place.lose(bench.running("a.in").attempt_name)
    ended = bench.ended(activation_id)
    assert ended.cause == "skill 'a' failed: its attempt was lost 4 times"
    (task,) = bench.tasks()
    assert [attempt.reason for attempt in tasks.attempts(bench.store.read, task.task_id)] == ["lost"] * 4


def test_a_replay_that_leaves_something_out_fails_the_task(bench: Bench) -> None:
    activation_id = bench.skill("a")
    first = bench.running("a.in")
    bench.send(first, 1, 2)
    bench.place.lose(first.attempt_name)
    bench.until(lambda: bench.running("a.in").attempt == 2)
    bench.send(bench.running("a.in"), 1)
    bench.finish("a.in")
    ended = bench.ended(activation_id)
    assert "replay differs" in ended.cause
    assert bench.response(activation_id) == [1, 2]


def test_an_attempt_that_was_condemned_fails_whatever_it_exits_with(bench: Bench) -> None:
    activation_id = bench.skill("a")
    task = bench.running("a.in")
    bench.store.write(lambda tx: tasks.condemn(tx, task.task_id, task.attempt, "replay differs: so")).result()
    bench.finish("a.in", 75)
    assert bench.ended(activation_id).cause == "skill 'a' failed: replay differs: so"


def test_a_timeout_stops_the_program(bench: Bench) -> None:
    activation_id = bench.skill("a", timeout=0.05)
    ended = bench.ended(activation_id)
    (task,) = bench.tasks()
    assert (ended.state, task.state) == (ActivationState.ERROR, TaskState.TIMEOUT)
    assert ended.cause == "skill 'a' failed: it ran longer than its timeout of 0.05s"


# Cancelling


def test_a_cancel_stops_everything(bench: Bench) -> None:
    activation_id = bench.skill("a")
    task = bench.running("a.in")
    assert bench.engine.cancel(activation_id, PROJECT, "enough").result(30)
    ended = bench.ended(activation_id)
    assert (ended.state, ended.cause) == (ActivationState.CANCELLED, "enough")
    assert bench.task(task).state is TaskState.CANCELLED
    assert not bench.engine.cancel(activation_id, PROJECT, "again").result(30)


def test_a_queued_task_is_cancelled_without_being_started(bench: Bench) -> None:
    activation_id = bench.skill("a", retries={"limit": 1, "backoff_seconds": 1000, "max_backoff_seconds": 1000})
    task = bench.finish("a.in", 1)
    bench.until(lambda: bench.task(task).state is TaskState.QUEUED)
    bench.engine.cancel(activation_id, PROJECT, "enough").result(30)
    bench.ended(activation_id)
    assert bench.task(task).state is TaskState.CANCELLED
    assert bench.place.started == [task.attempt_name]


# A place that does not answer


def test_an_executor_that_does_not_answer_a_start_is_asked_again(bench: Bench) -> None:
    bench.place.unreachable = True
    activation_id = bench.skill("a")
    bench.until(lambda: bench.place.refused >= 3)
    (task,) = bench.tasks()
    assert (task.state, task.attempt) == (TaskState.STARTING, 1)
    bench.place.unreachable = False
    assert bench.finish("a.in").attempt == 1
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


def test_an_executor_that_does_not_answer_leaves_the_task_as_it_is(bench: Bench) -> None:
    activation_id = bench.skill("a")
    task = bench.running("a.in")
    bench.place.unreachable = True
    bench.place.lose(task.attempt_name)
    bench.until(lambda: bench.place.refused >= 3)
    now = bench.task(task)
    assert (now.state, now.attempt, now.lost) == (TaskState.ACTIVE, 1, 0)
    bench.place.unreachable = False
    bench.until(lambda: bench.running("a.in").attempt == 2)
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


def test_a_stop_that_is_not_answered_is_asked_again(bench: Bench) -> None:
    activation_id = bench.skill("a")
    bench.running("a.in")
    bench.place.unreachable = True
    bench.engine.cancel(activation_id, PROJECT, "enough").result(30)
    bench.until(lambda: bench.place.refused >= 4)
    assert bench.activation(activation_id).state is ActivationState.CANCELLED
    bench.place.unreachable = False
    bench.ended(activation_id)


# Agents


def test_records_pass_through_a_chain_one_task_each(bench: Bench) -> None:
    activation_id = bench.agent(CHAIN, a={}, b={"workers": 1})
    bench.send(bench.running("a.in"), 1, 2, 3)
    for number in (1, 2, 3):
        bench.finish("b.in", stdout=str(number).encode())
        bench.until(lambda number=number: bench.response(activation_id) == [str(n) for n in range(1, number + 1)])  # type: ignore[misc]
    assert bench.activation(activation_id).state is ActivationState.PENDING, "a may send more"
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert [task.record_offset for task in bench.tasks("b.in")] == [0, 1, 2]


def test_task_rows_exist_for_a_window_only(bench: Bench) -> None:
    activation_id = bench.agent(CHAIN, a={}, b={"workers": 2})
    bench.send(bench.running("a.in"), *range(20))
    bench.finish("a.in")
    for finished in range(20):
        bench.running("b.in", min(2, 20 - finished))
        live = [task for task in bench.tasks("b.in") if not task.ended]
        assert len(live) <= 4
        assert sum(task.state is not TaskState.QUEUED for task in live) <= 2
        bench.finish("b.in", stdout=b"x")
        bench.until(lambda finished=finished: len(bench.response(activation_id)) == finished + 1)  # type: ignore[misc]
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


def test_fan_in_waits_for_all_who_may_send(bench: Bench) -> None:
    wires = [
        ("input", "a.in"), ("a.out", "b.in"), ("a.out", "c.in"),
        ("b.out", "s.in"), ("c.out", "s.in"), ("s.out", "output"),
    ]  # fmt: skip
    activation_id = bench.agent(wires, a={}, b={}, c={}, s=STREAM)
    bench.running("s.in")
    bench.finish("a.in", stdout=b"1")
    bench.finish("b.in", stdout=b"from b")
    bench.until(lambda: [channel.ended for channel in inbound(bench, activation_id, "s.in")] == [True, False])
    bench.finish("c.in", stdout=b"from c")
    bench.until(lambda: all(channel.ended for channel in inbound(bench, activation_id, "s.in")))
    assert not bench.activation(activation_id).ended
    bench.finish("s.in", stdout=b"sum")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.response(activation_id) == ["sum"]


def inbound(bench: Bench, activation_id: str, node: str) -> list[Channel]:
    return channels.inbound(bench.store.read, activation_id, node)


def test_a_stream_that_gets_no_record_still_runs_and_ends(bench: Bench) -> None:
    activation_id = bench.agent(
        [("input", "a.in"), ("a.x", "s.in"), ("s.out", "output")], a={"outputs": ("y", "x")}, s=STREAM
    )
    bench.finish("a.in", stdout=b"goes to y, which nobody takes")
    bench.until(lambda: all(channel.ended for channel in inbound(bench, activation_id, "s.in")))
    assert not bench.activation(activation_id).ended
    bench.finish("s.in", stdout=b"nothing came")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.response(activation_id) == ["nothing came"]


def test_a_stream_that_ends_early_lets_its_sender_go_on(bench: Bench) -> None:
    activation_id = bench.agent([("input", "a.in"), ("a.out", "s.in"), ("s.out", "output")], a={}, s=STREAM)
    source = bench.running("a.in")
    bench.send(source, 1)
    stream = bench.finish("s.in", stdout=b"enough")
    bench.until(lambda: bench.task(stream).ended)
    bench.send(source, 2, 3, sequence=2)
    (channel,) = inbound(bench, activation_id, "s.in")
    assert (channel.closed, channel.dropped) == (True, 2)
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


def test_a_cycle_ends_when_nothing_goes_round_any_more(bench: Bench) -> None:
    wires = [("input", "a.in"), ("a.out", "b.in"), ("b.again", "a.in"), ("b.out", "output")]
    activation_id = bench.agent(wires, a={}, b={"outputs": ("out", "again")})
    for turn in range(3):
        bench.finish("a.in", stdout=b"x")
        task = bench.running("b.in")
        if turn < 2:
            bench.send(task, turn, output="again")
        bench.finish("b.in", stdout=b"out")
        bench.until(lambda task=task: bench.task(task).ended)  # type: ignore[misc]
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.response(activation_id) == ["out"]
    assert len(bench.tasks("a.in")) == 3


# Slots


def test_whoever_waits_for_a_slot_gets_it_when_one_is_free(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots={"fake": 1})
    first = bench.agent(CHAIN, a={}, b={"workers": 4})
    source = bench.running("a.in")
    bench.send(source, 1, 2, 3)
    one = bench.running("b.in")
    assert [task.state for task in bench.tasks("b.in")] == [TaskState.ACTIVE, TaskState.QUEUED, TaskState.QUEUED]
    second = bench.invoke("agent", "chain")
    bench.until(lambda: [task.state for task in bench.tasks("a.in")] == [TaskState.ACTIVE] * 2)  # one is guaranteed
    bench.place.finish(one.attempt_name, 0, stdout=b"x")
    bench.until(lambda: sum(task.state is TaskState.COMPLETE for task in bench.tasks("b.in")) == 1)
    for _ in range(2):
        bench.finish("b.in", stdout=b"x")
        bench.until(
            lambda: (
                not [task for task in bench.tasks("b.in") if task.attempt_name in bench.place.exits and not task.ended]
            )
        )
    for task in bench.tasks("a.in"):
        bench.place.finish(task.attempt_name, 0, stdout=b"last")
    bench.finish("b.in", stdout=b"x")
    assert bench.ended(first).state is ActivationState.COMPLETE
    assert bench.ended(second).state is ActivationState.COMPLETE
    bench.close()


# Invoking


def test_an_invocation_that_comes_twice_starts_one_activation(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a"))
    save_skill(bench.store, skill_document("b"))
    wanted = invocation("skill", "a", activation_id="mine")
    begun = [bench.engine.invoke(wanted).result(30) for _ in range(3)]
    assert [(one.activation_id, one.attached) for one in begun] == [("mine", False), ("mine", True), ("mine", True)]
    bench.finish("a.in")
    bench.ended("mine")
    assert len(bench.tasks()) == 1
    with pytest.raises(AlreadyExists):
        bench.engine.invoke(invocation("skill", "b", activation_id="mine")).result(30)


def test_what_is_unknown_is_said_with_the_nearest_name(bench: Bench) -> None:
    save_skill(bench.store, skill_document("alpha"))
    with pytest.raises(NotFound, match="no skill 'alpa'") as caught:
        bench.engine.invoke(invocation("skill", "alpa"))
    assert "alpha" in caught.value.hint
    with pytest.raises(NotFound, match="no input 'inn'"):
        bench.engine.invoke(invocation("skill", "alpha", entry="inn"))


def test_a_running_activation_keeps_the_versions_that_it_started_with(bench: Bench) -> None:
    activation_id = bench.skill("a")
    bench.running("a.in")
    save_skill(bench.store, skill_document("a", response="json"))
    bench.restart()
    bench.finish("a.in", stdout=b"no json")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


# Restarts


def restarts(bench: Bench, at: set[int]) -> tuple[object, ...]:
    """Run one agent, with a new engine before the given steps; return the outcome."""
    wires = [("input", "a.in"), ("a.out", "b.in"), ("b.out", "s.in"), ("s.out", "output")]
    activation_id = bench.agent(wires, a={}, b={"workers": 1, "retries": {"limit": 1, "backoff_seconds": 0}}, s=STREAM)

    def attempt(node: str, number: int) -> None:
        bench.until(lambda: bench.running(node).attempt == number)

    def wait_for(condition: Callable[[], object]) -> None:
        bench.until(condition)

    steps: list[Callable[[], object]] = [
        lambda: bench.send(bench.running("a.in"), 1, 2),
        lambda: bench.place.lose(bench.running("a.in").attempt_name),
        lambda: attempt("a.in", 2),
        lambda: bench.send(bench.running("a.in"), 1, 2, 3),
        lambda: bench.finish("a.in", stdout=b"ignored"),
        lambda: bench.finish("b.in", 1),
        lambda: attempt("b.in", 2),
        lambda: bench.finish("b.in", stdout=b"one"),
        lambda: wait_for(lambda: bench.tasks("b.in")[0].ended),
        lambda: bench.finish("b.in", stdout=b"two"),
        lambda: wait_for(lambda: bench.tasks("b.in")[1].ended),
        lambda: bench.finish("b.in", stdout=b"three"),
        lambda: bench.send(bench.running("s.in"), "sum", hold=True),
        lambda: bench.finish("s.in"),
    ]
    for number, step in enumerate(steps):
        if number in at:
            bench.restart()
        step()
    if len(steps) in at:
        bench.restart()
    ended = bench.ended(activation_id)
    story = sorted((task.node, task.record_offset, task.state, task.attempt, task.sent) for task in bench.tasks("b.in"))
    kinds = sorted(event.kind for event in events.after(bench.store.read, 0, project_id=PROJECT))
    return ended.state, bench.response(activation_id), story, kinds


@pytest.mark.parametrize("at", [*({step} for step in range(15)), set(range(15))], ids=str)
def test_an_engine_that_is_restarted_at_any_step_comes_to_the_same_end(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, at: set[int]
) -> None:
    undisturbed = Bench(tmp_path_factory.mktemp("undisturbed"))
    expected = restarts(undisturbed, set())
    undisturbed.close()
    assert expected[0] is ActivationState.COMPLETE
    assert expected[1] == ["sum"]
    assert restarts(bench, at) == expected


def test_an_engine_that_starts_finds_an_attempt_that_was_never_handed_over(bench: Bench) -> None:
    bench.engine.close()
    save_skill(bench.store, skill_document("a"))
    activation_id = bench.engine.invoke(invocation("skill", "a")).result(30).activation_id  # stored, but not looked at
    assert [task.state for task in bench.tasks()] == [TaskState.STARTING]
    assert bench.place.started == []
    bench.restart()
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


@pytest.mark.parametrize("receives", ["message", "stream"])
def test_an_attempt_that_becomes_active_between_two_reads_of_a_new_engine_is_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, receives: str
) -> None:
    bench.engine.close()
    save_skill(bench.store, skill_document("a", receives=receives))
    activation_id = bench.engine.invoke(invocation("skill", "a")).result(30).activation_id
    (begun,) = bench.tasks()
    handle = bench.place.start(AttemptSpec(name=begun.attempt_name, processes=()))
    bench.place.finish(handle, 0)
    bench.place.started.clear()

    def take_late(sql: Sql, taken: str, plan: Plan) -> Snapshot | None:
        # A write queued by the previous engine is stored only after the first read.
        bench.store.write(lambda tx: tasks.activate(tx, begun, handle)).result(30)
        return take(sql, taken, plan)

    monkeypatch.setattr(engine, "take", take_late)
    bench.restart()
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.place.started == []


def test_a_daemon_whose_handle_was_never_stored_is_taken_over(bench: Bench) -> None:
    bench.engine.close()
    document = skill_document("d", type="daemon", command=["serve"])
    del document["actions"][0]["response"]
    document["inputs"][0]["routing"]["all"]["runtime"] = "cortex/daemons"
    save_skill(bench.store, document)
    new = NewTask(
        project_id=PROJECT,
        name="local-d-d-1",
        activation_id=None,
        node="1:files:fake",
        skill_name="d",
        action_name="d",
        kind="daemon",
        receives="message",
    )

    def begin(tx: Tx) -> Task | None:
        created = tasks.find(tx, tasks.create(tx, new))
        return tasks.start(tx, created, "fake") if created is not None else None

    begun = bench.store.write(begin).result(30)
    assert begun is not None
    bench.place.start(AttemptSpec(name=begun.attempt_name, processes=()))  # then its owner was killed
    bench.restart()
    bench.until(lambda: bench.task(begun).state is TaskState.ACTIVE)
    assert list(bench.place.specs) == [begun.attempt_name]
    bench.engine.close()
    assert bench.place.stopped == [begun.attempt_name]


def test_an_engine_that_closes_has_stored_what_it_did(bench: Bench) -> None:
    bench.skill("a")
    bench.until(lambda: bench.place.started)
    bench.engine.close()
    assert [task.state for task in bench.tasks()] == [TaskState.ACTIVE]


def test_an_invocation_that_cannot_run_here_stores_nothing(bench: Bench) -> None:
    document = skill_document("a")
    document["properties"] = [{"name": "key", "defaultValue": "#SECURE.key"}]
    save_skill(bench.store, document)
    with pytest.raises(InvalidInput, match="#SECURE"):
        bench.engine.invoke(invocation("skill", "a"))
    assert activations.unsettled(bench.store.read) == []


# A state of version 0.2.0, where a message task could acknowledge others' records


def hole(bench: Bench, on_error: str, *, cancel: bool = False) -> str:
    """Acknowledge a record before its task has been handed over, and start another engine; return the activation's id."""
    bench.place.unreachable = True
    activation_id = bench.agent([("input", "a.in"), ("a.out", "output")], a={"onError": on_error})
    bench.until(lambda: bench.tasks("a.in"))
    bench.engine.close()
    (channel,) = channels.inbound(bench.store.read, activation_id, "a.in")
    bench.store.write(lambda tx: leases.mark(tx, channel.channel_id, 0, 1)).result()
    if cancel:
        bench.store.write(lambda tx: activations.ask_cancel(tx, activation_id, PROJECT, "enough")).result()
    bench.restart()
    return activation_id


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_a_task_whose_record_has_gone_fails(bench: Bench, on_error: str) -> None:
    activation_id = hole(bench, on_error)
    ended = bench.ended(activation_id)
    assert ended.state is ActivationState.ERROR
    assert "its record is gone" in ended.cause


def test_an_activation_whose_record_has_gone_can_be_cancelled(bench: Bench) -> None:
    activation_id = hole(bench, "continue", cancel=True)
    assert bench.ended(activation_id).state is ActivationState.CANCELLED

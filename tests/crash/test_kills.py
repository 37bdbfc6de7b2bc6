"""kill -9 of the owner and of tasks, at moments chosen by a seed, does not change the answer.

The same seed kills the same victims after the same numbers of records. It is FABRIC_JOBS_CRASH_SEED if set, else SEED. Pytest
prints it at the start, and every test that uses it prints it too. `make shake` sets its own.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.live import Live, Started, is_alive, kill_attempt, program_of, records, until
from tests.seeds import CRASH_SEED as SEED

RECORDS = 4000
RUNS = int(os.environ.get("FABRIC_JOBS_CRASH_RUNS") or 6)
# Where records are: in the database, in files that the owner writes, in files that the programs write themselves.
WAYS = (
    {"FABRIC_JOBS_INLINE_BYTES": "1000000"},
    {"FABRIC_JOBS_INLINE_BYTES": "0", "FABRIC_JOBS_SENDER_FILES": "0"},
    {"FABRIC_JOBS_INLINE_BYTES": "0"},
)

# `doubled` sends two records for each odd one, `total` is an aggregator, `echo` answers record by record. The work of
# a fraction of a millisecond per record leaves room for the kills between the first record and the last.
SOURCE = "for n in range(message()['payload']):\n    send_message({'n': n, 'pad': 'x' * (n % 50)})"
DOUBLED = """
import time
for record in messages():
    time.sleep(0.0002)
    send_message(record)
    if record["n"] % 2:
        send_message({"n": -record["n"], "pad": ""})
"""
TOTAL = """
seen = [record["n"] for record in messages(acknowledge="end")]
send_message({"count": len(seen), "sum": sum(n * n for n in seen), "first": seen[:3], "last": seen[-3:]})
"""
PICKY = """
import time
from fabric_skill import reject
for n in messages():
    time.sleep(0.0002)
    send_message(n)
    if n % 10 == 3:
        reject(n, "three")
    if n % 10 == 7:
        send_message(-n, wait=True)  # committed, with what was sent before it
        reject(n, "seven")
"""
ECHO = "for record in messages():\n    send_message(record['n'])"
SKILLS = ("source", "doubled", "total", "echo")


@dataclass(frozen=True)
class Kill:
    """Victims of a kill -9, and the number of records that `doubled` sends before it."""

    after: int
    victims: tuple[str, ...]  # owner, or skills


def plan(seed: int) -> list[Kill]:
    """Return two to four kills. A killed shim loses all running attempts, so no skill may lose as many as its limit."""
    chance = random.Random(seed)
    kills: list[Kill] = []
    for after in sorted(chance.sample(range(1, 5500), chance.randint(2, 4))):
        what = chance.choice(("owner", "task", "both")) if len(kills) < 3 else "owner"
        task = (chance.choice(SKILLS),) if what != "owner" else ()
        kills.append(Kill(after, (("owner",) if what != "task" else ()) + task))
    return kills


def expected(count: int) -> list[Any]:
    """Compute the records of the response as the skills would."""
    doubled = [value for n in range(count) for value in ((n, -n) if n % 2 else (n,))]
    total = {
        "count": len(doubled),
        "sum": sum(n * n for n in doubled),
        "first": doubled[:3],
        "last": doubled[-3:],
    }
    return [total, *doubled]


@pytest.fixture
def flow(live: Live) -> Live:
    live.skill("source", SOURCE)
    live.skill("doubled", DOUBLED, receives="stream")
    live.skill("total", TOTAL, receives="stream")
    live.skill("echo", ECHO, receives="stream")
    live.agent(
        "flow",
        ("input", "source"),
        ("source", "doubled"),
        ("doubled", "total"),
        ("doubled", "echo"),
        ("total", "output"),
        ("echo", "output"),
    )
    return live


def sent(live: Live, activation: str) -> int:
    return int(live.progress(activation)["doubled"]["out"])


def reached(live: Live, waiting: Started, activation: str, skill: str, count: int) -> bool:
    """Wait until a skill has sent `count` records; return False if the activation has ended, and its owner too."""

    def look() -> bool:
        seen = live.glance(activation)
        return waiting.ended or (bool(seen) and seen[skill]["out"] >= count)

    return until(look, f"{count} records") and not waiting.ended


def strike(live: Live, victims: tuple[str, ...]) -> None:
    for victim in victims:
        if victim == "owner":
            live.kill_owner()
        elif attempts := live.attempts(victim):
            kill_attempt(attempts[-1])


def answer(live: Live, activation: str) -> list[Any]:
    record = live.wait(activation)
    assert record["status"] == "COMPLETE", record
    return records(live.ok("activations", "response", activation).out)


def test_the_undisturbed_run(flow: Live) -> None:
    activation = flow.detach("flow", RECORDS, kind="agents")
    assert answer(flow, activation) == expected(RECORDS)


@pytest.mark.parametrize("number", range(RUNS))
def test_kills_change_nothing(flow: Live, number: int) -> None:
    seed = SEED + number  # as FABRIC_JOBS_CRASH_SEED it repeats this run as number 0
    kills = plan(seed)
    way = WAYS[seed % len(WAYS)]
    flow.environment |= way
    print(f"FABRIC_JOBS_CRASH_SEED={seed}: {kills}, {way}")
    activation = flow.detach("flow", RECORDS, kind="agents")
    waiting = flow.start("activations", "wait", activation, "-q")  # starts the next owner when one is killed
    for kill in kills:
        if reached(flow, waiting, activation, "doubled", kill.after):
            strike(flow, kill.victims)

    ran = waiting.finish()
    assert ran.code == 0, ran
    assert answer(flow, activation) == expected(RECORDS)
    lost = [attempt for skill in SKILLS for attempt in _attempts(flow, skill)[:-1]]
    assert {attempt["reason"] for attempt in lost} <= {"lost"}
    flow.ok("state", "check")


@pytest.mark.parametrize("skill", SKILLS)
def test_a_killed_task_is_tried_again_without_doubles(flow: Live, skill: str) -> None:
    activation = flow.detach("flow", RECORDS, kind="agents")
    until(lambda: sent(flow, activation) > 500, "500 records")
    killed = flow.attempts(skill)
    strike(flow, (skill,))
    assert answer(flow, activation) == expected(RECORDS)
    tried = _attempts(flow, skill)
    if not (killed[-1] / "exit").exists():  # unless the source had already finished
        assert [attempt["reason"] for attempt in tried] == ["lost", ""]
        assert [attempt["exitCode"] for attempt in tried] == [None, 0]


@pytest.mark.parametrize("skill", ["source", "doubled", "total"])
def test_programs_do_not_outlive_owner_and_shim(flow: Live, skill: str) -> None:
    """Their ends would be unknown, so they are lost, and the next owner replaces them with new attempts."""
    activation = flow.detach("flow", RECORDS, kind="agents")
    until(lambda: sent(flow, activation) > 500, "500 records")
    program = program_of(flow.attempts(skill)[-1])
    strike(flow, ("owner", skill))
    assert answer(flow, activation) == expected(RECORDS)
    assert not is_alive(program)


@pytest.mark.parametrize("acked", [0, 2], ids=["before", "after"])
def test_what_is_sent_before_and_after_the_records_is_not_doubled(live: Live, acked: int) -> None:
    """The attempt dies after sending its header, before or after an acknowledgement. The next one sends it again."""
    live.gate("gate")
    program = f"""
    send_message("header", wait=True)
    for n in messages():
        if n == {acked} and os.environ["FABRIC_JOBS_ATTEMPT"].endswith("-1"): open(ROOT / "gate").read()
        send_message(n)
    send_message("footer")
    """
    live.skill("source", "for n in range(message()['payload']): send_message(n)")
    live.skill("framed", program, receives="stream")
    live.agent("flow", ("input", "source"), ("source", "framed"), ("framed", "output"))
    activation = live.detach("flow", 5, kind="agents")
    there = {"in": 5, "waiting": 5 - acked, "out": 1 + acked}
    until(
        lambda: there.items() <= live.glance(activation).get("framed", {}).items(),
        "the header and what is acknowledged",
    )
    kill_attempt(live.attempts("framed")[0])
    record = live.wait(activation)
    assert record["status"] == "COMPLETE", record
    assert record["response"] == ["header", 0, 1, 2, 3, 4, "footer"]


@pytest.mark.parametrize("victims", [("picky",), ("owner",), ("owner", "picky")], ids="+".join)
def test_a_rejected_record_is_one_dead_letter_and_what_it_sent_is_not_doubled(
    live: Live, victims: tuple[str, ...]
) -> None:
    live.skill("source", "for n in range(message()['payload']): send_message(n)")
    live.skill("picky", PICKY, receives="stream", onError="complete")
    live.agent("flow", ("input", "source"), ("source", "picky"), ("picky", "output"))
    activation = live.detach("flow", 1000, kind="agents")
    waiting = live.start("activations", "wait", activation, "-q")
    chance = random.Random(SEED)
    points = sorted(chance.sample(range(1, 900), 3))
    print(f"FABRIC_JOBS_CRASH_SEED={SEED}: {victims} after {points} records")
    for after in points:
        if reached(live, waiting, activation, "picky", after):
            strike(live, victims)
    assert waiting.finish().code == 0
    sent = [[n, -n] if n % 10 == 7 else [n] for n in range(1000) if n % 10 != 3]
    assert answer(live, activation) == [value for values in sent for value in values]
    letters = live.ok("deadletters", "list", "--limit", 1000, "-o", "json").value
    assert sorted(letter["record"]["offset"] for letter in letters) == [n for n in range(1000) if n % 10 in (3, 7)]
    assert {letter["cause"] for letter in letters} == {"three", "seven"}


def test_a_task_that_is_lost_again_and_again_fails_in_words(live: Live) -> None:
    live.skill("doomed", "open(ROOT / 'gate').read()")
    live.gate("gate")
    activation = live.detach("doomed")
    for number in range(1, 5):
        attempts = until(lambda n=number: live.attempts("doomed")[n - 1 :], f"attempt {number}")  # type: ignore[misc]
        program_of(attempts[0])
        kill_attempt(attempts[0])
    record = live.wait(activation)
    assert record["status"] == "ERROR"
    assert "its attempt was lost 4 times" in record["cause"]


@pytest.mark.parametrize("skill", ["doubled", "echo"])
def test_a_killed_program_is_a_failure_that_says_so(flow: Live, skill: str) -> None:
    activation = flow.detach("flow", RECORDS, kind="agents")
    until(lambda: sent(flow, activation) > 300, "300 records")
    os.kill(program_of(flow.attempts(skill)[-1]), signal.SIGKILL)
    record = flow.wait(activation)
    assert record["status"] == "ERROR"
    assert record["cause"] == f"skill '{skill}' failed: exit code 137 (killed by SIGKILL)"
    assert record["error"]["exitCode"] == 137
    assert record["error"]["skill"] == skill
    states = {task["skillName"]: task["state"] for task in flow.get("/tasks")["tasks"]}
    assert states[skill] == "FAILED"


def test_an_owner_that_is_killed_again_and_again(flow: Live) -> None:
    activation = flow.detach("flow", 2000, kind="agents")
    for after in (1, 400, 800, 1200, 1600, 2000, 2400):
        waiting = flow.start("activations", "wait", activation, "-q")
        until(lambda n=after: sent(flow, activation) >= n, f"{after} records")  # type: ignore[misc]
        waiting.kill()
        flow.kill_owner()
        flow.ok("tasks", "list")
    assert answer(flow, activation) == expected(2000)


def test_message_tasks_survive_their_owner(live: Live) -> None:
    """With one task per message and the owner killed between them, each record is handled and answered once."""
    live.skill("source", "for n in range(20): send_message(n)")
    live.skill("each", "send_message(message()['payload'] * 10)\nprint('not this')")
    live.agent("spread", ("input", "source"), ("source", "each"), ("each", "output"))
    chance = random.Random(SEED)
    points = sorted(chance.sample(range(1, 18), 3))
    print(f"FABRIC_JOBS_CRASH_SEED={SEED}: the owner after {points} answers")
    activation = live.detach("spread", kind="agents")
    waiting = live.start("activations", "wait", activation, "-q", "-o", "json")
    for point in points:
        if reached(live, waiting, activation, "each", point):
            live.kill_owner()
    record = waiting.finish()
    assert record.code == 0
    assert sorted(record.value["response"]) == [10 * n for n in range(20)]
    tasks = live.get("/tasks?skillName=each&limit=100")["tasks"]
    assert sorted(task["record"]["offset"] for task in tasks) == list(range(20))
    assert {task["state"] for task in tasks} == {"COMPLETE"}


def test_a_job_that_ends_while_nobody_owns_it_is_not_run_again(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("once", "open(ROOT / 'runs', 'a').write('x'); open(ROOT / 'gate').read(); print('done', end='')")
    activation = live.detach("once")
    until((live.root / "runs").exists, "the job runs")
    attempt = live.attempts("once")[0]
    live.kill_owner()
    live.release(gate)
    until((attempt / "exit").exists, "the job has ended")
    assert live.wait(activation)["response"] == "done"
    assert (live.root / "runs").read_text() == "x"


def test_a_cancel_survives_the_owner(live: Live) -> None:
    live.gate("gate")
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); (ROOT / 'began').touch()"
    live.skill("stubborn", program + "; open(ROOT / 'gate').read()")
    activation = live.detach("stubborn")
    until((live.root / "began").exists, "the job runs")
    live.ok("activations", "cancel", activation)
    live.kill_owner()
    assert live.wait(activation)["status"] == "CANCELLED"
    kill_attempt(live.attempts("stubborn")[0])  # otherwise it would be forced after ten seconds
    until(lambda: live.get("/tasks")["tasks"][0]["state"] == "CANCELLED", "the task is over")


def test_a_detached_activation_of_a_killed_owner_is_taken_up_by_any_command(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("first", "open(ROOT / 'gate').read(); print('a', end='')")
    live.skill("second", "print(message()['payload'] + 'b', end='')")
    live.agent("pair", ("input", "first"), ("first", "second"), ("second", "output"))
    activation = live.detach("pair", kind="agents")
    program_of(until(lambda: live.attempts("first"), "the first task")[0])
    live.kill_owner()
    live.release(gate)
    live.ok("skills", "list")  # reads only files
    live.ok("tasks", "list")  # asks an owner, which finds the unfinished work
    shown = until(lambda: _ended(live, activation), "the end")
    assert shown["response"] == "ab"


def _ended(live: Live, activation: str) -> Any:
    record = live.get(f"/activations/{activation}")
    return record if record["status"] != "PENDING" else None


def _attempts(live: Live, skill: str) -> list[dict[str, Any]]:
    task = live.ok("tasks", "show", skill, "-o", "json").value
    found: list[dict[str, Any]] = task["attempts"]
    return found

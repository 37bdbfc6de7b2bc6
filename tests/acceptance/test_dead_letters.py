"""Bad records: identified by offset however the program dies, and kept, while the rest goes on."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.acceptance.live import Live, until

COUNT = "for n in range(message()['payload']): send_message(n)"
DEATHS = {
    "exception": "raise ValueError('bad')",
    "exit": "sys.exit(3)",
    "_exit": "os._exit(4)",
    "kill": "os.kill(os.getpid(), 9)",
}


@pytest.fixture(autouse=True, params=[False, True], ids=["cold", "warm"])
def _warm(request: pytest.FixtureRequest, live: Live) -> None:
    live.warm = request.param


def poisoned(death: str, *bad: int) -> str:
    """Return a stream program that dies at some records, after sending part of their output."""
    return f"""
        for n in messages():
            if n in {bad!r}:
                {death}
            send_message(n * 10)
    """


def stream(live: Live, death: str, *bad: int, **action: Any) -> None:
    live.skill("source", COUNT)
    live.skill("each", poisoned(death, *bad), receives="stream", **action)
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))


@pytest.mark.parametrize("death", DEATHS)
def test_a_stream_goes_on_behind_the_records_that_it_dies_of(live: Live, death: str) -> None:
    stream(live, DEATHS[death], 7, 400, onError="continue")
    ran = live.run("agents", "invoke", "line", "--payload", 500, "-o", "json")
    assert ran.code == 1
    record = ran.value
    assert record["status"] == "ERROR"
    assert "2 records are dead letters" in record["cause"]
    assert record["error"]["record"]["offset"] == 7
    assert record["error"]["deadLetters"] == 2
    assert record["response"] == [n * 10 for n in range(500) if n not in (7, 400)]


def test_under_complete_the_activation_is_complete_and_tells_of_its_dead_letters(live: Live) -> None:
    stream(live, DEATHS["exception"], 3, onError="complete")
    record = live.invoke("line", 6, kind="agents")
    assert (record["status"], record["deadLetters"]) == ("COMPLETE", 1)
    assert record["response"] == [0, 10, 20, 40, 50]


def test_retries_are_per_record_and_then_the_activation_fails(live: Live) -> None:
    stream(live, DEATHS["kill"], 5, retries={"limit": 2, "backoff_seconds": 0.01})
    ran = live.run("agents", "invoke", "line", "--payload", 20, "-o", "json")
    assert ran.value["status"] == "ERROR"
    assert ran.value["error"]["record"]["offset"] == 5
    assert "orLater" not in ran.value["error"]["record"]
    (task,) = live.ok("tasks", "list", "--skill", "each", "-o", "json").value
    assert task["attempt"] == 4  # one died without naming the record, and three died at it


def test_an_aggregator_is_handed_all_but_the_dead_records(live: Live) -> None:
    program = """
        found = []
        for n in messages(acknowledge="end"):
            if n in (2, 9):
                os._exit(1)
            found.append(n)
        print(json.dumps(found))
    """
    live.skill("source", COUNT)
    live.skill("sum", program, receives="stream", onError="continue", response="json")
    live.agent("line", ("input", "source"), ("source", "sum"), ("sum", "output"))
    ran = live.run("agents", "invoke", "line", "--payload", 10, "-o", "json")
    assert ran.value["response"] == [0, 1, 3, 4, 5, 6, 7, 8]
    assert ran.value["error"]["deadLetters"] == 2


def test_a_stream_that_dies_before_it_reads_fails_the_activation(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("each", "sys.exit(3)", receives="stream", onError="continue")
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))
    ran = live.run("agents", "invoke", "line", "--payload", 10, "-o", "json")
    assert ran.value["status"] == "ERROR"
    assert "no record is at fault" in ran.value["cause"]


@pytest.mark.parametrize("death", DEATHS)
def test_the_other_messages_of_a_job_go_on(live: Live, death: str) -> None:
    live.skill("source", COUNT)
    program = f"n = message()['payload']\nif n == 3:\n    {DEATHS[death]}\nprint(n)"
    live.skill("each", program, response="json", onError="continue", retries={"limit": 1, "backoff_seconds": 0.01})
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))
    ran = live.run("agents", "invoke", "line", "--payload", 6, "-o", "json")
    assert ran.code == 1
    assert sorted(ran.value["response"]) == [0, 1, 2, 4, 5]
    assert ran.value["error"]["record"]["offset"] == 3
    failed = [
        task for task in live.ok("tasks", "list", "--skill", "each", "-o", "json").value if task["state"] == "FAILED"
    ]
    assert [task["attempt"] for task in failed] == [2]


@pytest.mark.parametrize("how", ["raise DoNotRetry('never')", "sys.exit(65)"])
def test_what_is_not_to_be_retried_is_not(live: Live, how: str) -> None:
    live.skill("each", f"from fabric_skill import DoNotRetry\n{how}", retries={"limit": 5, "backoff_seconds": 60})
    assert live.run("skills", "invoke", "each", "--payload", 1).code == 1
    (task,) = live.ok("tasks", "list", "-o", "json").value
    assert (task["attempt"], task["exitCode"]) == (1, 65)


def test_a_task_that_timed_out_is_tried_again(live: Live) -> None:
    program = """
        if not (ROOT / "seen").exists():
            (ROOT / "seen").touch()
            import time
            time.sleep(600)
        print("2", end="")
    """
    live.skill("slow", program, timeout=live.brief_seconds, retries={"limit": 1, "backoff_seconds": 0.01})
    record = live.invoke("slow", 1)
    assert record["response"] == "2"


def test_a_timeout_holds_for_every_attempt_and_behind_another_skill(live: Live) -> None:
    live.skill("first", "send_message(1)")
    retries = {"limit": 1, "backoff_seconds": 0.01}
    live.skill("slow", "import time\ntime.sleep(600)", timeout=0.5, retries=retries)
    live.agent("line", ("input", "first"), ("first", "slow"), ("slow", "output"))
    ran = live.run("agents", "invoke", "line", "--payload", 1, "-o", "json")
    assert "longer than its timeout" in ran.value["cause"]
    (task,) = live.ok("tasks", "list", "--skill", "slow", "-o", "json").value
    assert (task["state"], task["attempt"]) == ("TIMEOUT", 2)


def test_poison_among_many_costs_no_record(live: Live) -> None:
    bad = tuple(range(0, 40, 8))
    stream(live, DEATHS["_exit"], *bad, onError="continue", retries={"limit": 1, "backoff_seconds": 0.01})
    ran = live.run("agents", "invoke", "line", "--payload", 40, "-o", "json")
    assert ran.value["response"] == [n * 10 for n in range(40) if n not in bad]
    assert ran.value["error"]["deadLetters"] == len(bad)


def test_a_stream_that_is_killed_is_suspected_of_what_it_was_handed_and_not_of_all_that_waits(live: Live) -> None:
    program = """
    first = os.environ["FABRIC_JOBS_ATTEMPT"].endswith("-1")
    open(ROOT / ("all-sent" if first else "looked")).read()
    for n in messages():
        if first and n["n"] == 3:
            os.kill(os.getpid(), 9)
    """
    live.skill("source", "for n in range(message()['payload']): send_message({'n': n, 'pad': 'x' * 100})")
    live.skill("each", program, receives="stream", onError="continue")
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))
    gates = [live.gate("all-sent"), live.gate("looked")]
    activation = live.detach("line", 60_000, kind="agents")
    until(lambda: live.progress(activation)["source"]["out"] == 60_000, "all is there")
    live.release(gates[0])
    until(lambda: len(live.attempts("each")) == 2, "the second attempt")
    with closing(sqlite3.connect(live.state / "state.db")) as connection:
        ((careful,),) = connection.execute("select careful from tasks where skill_name = 'each'")
    ((first, end, step),) = json.loads(careful).values()
    window = (4 << 20) // (100 + 64)  # the most records in one round trip
    assert 0 <= first <= 3 < end <= 2 * window < 60_000  # two round trips, since one is requested in advance
    assert step == 0
    live.release(gates[1])
    assert live.wait(activation)["status"] == "COMPLETE"


# What is kept


def test_dead_letters_are_listed_shown_edited_retried_and_dropped(live: Live) -> None:
    live.skill("source", "for n in range(6): send_message({'n': n, 'bad': n % 2 == 1})")
    program = "m = message()['payload']\nif m['bad']: sys.exit('n is bad')\nsend_message(m['n'] * 10)"
    live.skill("each", program, onError="continue")
    live.skill("last", "send_message(message()['payload'] + 1)", response="json")
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "last"), ("last", "output"))
    first = live.run("agents", "invoke", "line", "--payload", 0, "-o", "json").value
    assert sorted(first["response"]) == [1, 21, 41]
    letters = live.ok("deadletters", "list", "-o", "json").value
    assert sorted(letter["record"]["offset"] for letter in letters) == [1, 3, 5]
    one, two, three = sorted((letter["id"] for letter in letters), key=lambda key: key)
    assert str(one) in live.ok("deadletters", "list", "--activation", first["activationId"]).out
    shown = live.ok("deadletters", "show", one, "-o", "json").value
    assert shown["payload"]["bad"] is True
    assert "n is bad" in shown["error"]["lastLines"]
    assert live.ok("deadletters", "list", "--contains", "nothing like it", "-o", "json").value == []

    assert live.run("deadletters", "retry", one).code == 1  # still as bad as before
    assert live.fails(2, "deadletters", "retry", one)
    live.ok("deadletters", "edit", two, "--payload", '{"n": 7, "bad": false}')
    record = live.ok("deadletters", "retry", two, "-o", "json").value
    assert record["response"] == 71
    assert record["retryOf"] == first["activationId"]
    assert live.ok("deadletters", "list", "--retried", "-o", "json").value[1]["retriedAs"] == record["activationId"]
    live.ok("deadletters", "edit", three, "--payload", '{"n": 1, "bad": false}')
    again = live.ok("deadletters", "list", "--not-retried", "-o", "json").value
    assert len(again) == 2  # the third, and the first as a dead letter of its retry
    live.ok("deadletters", "drop", "--skill", "each", "--yes")
    assert live.ok("deadletters", "list", "-o", "json").value == []
    assert live.ok("deadletters", "list").err == "There are no dead letters.\n"
    assert live.ok("deadletters", "drop", one).err.endswith(f"they do not exist: {one}.\n")
    live.fails(3, "deadletters", "show", one)


def test_many_dead_letters_are_retried_together_and_begin_where_they_died(live: Live) -> None:
    stream(live, "sys.exit(2) if not (ROOT / 'good').exists() else None", 3, 5, onError="continue")
    first = live.run("agents", "invoke", "line", "--payload", 8, "-o", "json").value
    (live.root / "good").touch()
    (record,) = live.ok("deadletters", "retry", "--activation", first["activationId"], "-o", "json").value
    assert record["response"] == [30, 50]
    skills = {
        task["skillName"]
        for task in live.ok("tasks", "list", "--activation", record["activationId"], "-o", "json").value
    }
    assert skills == {"each"}


@pytest.mark.parametrize("words", [("retry",), ("retry", "1", "--all"), ("drop", "--all", "--skill", "x")])
def test_which_letters_are_meant_has_to_be_said(live: Live, words: tuple[str, ...]) -> None:
    assert "by their numbers" in live.fails(2, "deadletters", *words)


def test_a_payload_that_is_not_json_changes_nothing(live: Live) -> None:
    live.skill("each", "sys.exit(1)", onError="continue")
    assert live.run("skills", "invoke", "each", "--payload", '"a"').code == 1
    assert "not JSON" in live.fails(2, "deadletters", "edit", 1, "--payload", "{")
    assert live.ok("deadletters", "show", 1, "-o", "json").value["payload"] == "a"


def test_a_list_says_how_many_more_there_are_and_all_of_them_are_retried_with_one_json_value(live: Live) -> None:
    live.skill(
        "picky", "sys.exit(0 if (ROOT / 'good').exists() or message()['payload'] == 'x' else 3)", onError="continue"
    )
    for payload in (1, 2, 3):
        live.run("skills", "invoke", "picky", "--payload", payload)
    listed = live.ok("deadletters", "list", "--limit", 2)
    assert len(listed.out.splitlines()) == 3
    assert listed.err == "1 more: add --limit 3, or a filter.\n"
    assert live.get("/deadletters?limit=1")["count"] == 3
    again = live.run("deadletters", "retry", "--all", "-o", "json")
    assert again.code == 1
    assert [record["status"] for record in again.value] == ["ERROR"] * 3
    (live.root / "good").touch()
    assert [record["status"] for record in live.ok("deadletters", "retry", "--all", "-o", "json").value] == [
        "COMPLETE"
    ] * 3
    assert live.ok("deadletters", "retry", "--all", "-o", "json").value == []


def test_a_record_that_dies_again_is_a_failure_of_the_retry_also_under_complete(live: Live) -> None:
    live.skill("picky", "raise ValueError('no')", onError="complete")
    assert live.run("skills", "invoke", "picky", "--payload", 1).code == 0
    ran = live.run("deadletters", "retry", 1)
    assert ran.code == 1
    assert "has a dead letter again" in ran.err

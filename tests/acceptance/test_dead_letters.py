"""Records that cannot be handled: found by their offset however the program dies, kept, and the rest goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.live import Live

COUNT = "for n in range(message()['payload']): send_message(n)"
DEATHS = {
    "exception": "raise ValueError('bad')",
    "exit": "sys.exit(3)",
    "_exit": "os._exit(4)",
    "kill": "os.kill(os.getpid(), 9)",
}


def poisoned(death: str, *bad: int) -> str:
    """Return a stream that dies at some records, after it has sent something of them."""
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
    assert task["attempt"] == 4  # one that died without a word, and three at the record


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
    live.skill("slow", program, timeout=1, retries={"limit": 1, "backoff_seconds": 0.01})
    record = live.invoke("slow", 1)
    assert record["response"] == "2"


def test_poison_among_many_costs_no_record(live: Live) -> None:
    bad = tuple(range(0, 40, 8))
    stream(live, DEATHS["_exit"], *bad, onError="continue", retries={"limit": 1, "backoff_seconds": 0.01})
    ran = live.run("agents", "invoke", "line", "--payload", 40, "-o", "json")
    assert ran.value["response"] == [n * 10 for n in range(40) if n not in bad]
    assert ran.value["error"]["deadLetters"] == len(bad)

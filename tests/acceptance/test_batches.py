"""Batches: a job gets several records as one array; a bad record is found by halving, and the rest goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.live import Live, until

COUNT = "for n in range(message()['payload']): send_message(n)"
DOUBLE = "for n in message()['payload']: print(2 * n)"


@pytest.fixture(autouse=True)
def _warm(live: Live) -> None:
    live.warm = True


def batched(live: Live, program: str = DOUBLE, source: str = COUNT, **action: Any) -> None:
    live.skill("source", source)
    live.skill("each", program, receives="batch", **{"response": "jsonl", **action})
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))


def sizes(live: Live, activation: str) -> list[int]:
    tasks = live.ok("tasks", "list", "--skill", "each", "--activation", activation, "-o", "json", "--limit", 200).value
    return sorted(task["record"]["count"] for task in tasks)


def test_records_come_in_batches_and_every_line_of_the_answer_is_a_record(live: Live) -> None:
    batched(live, batch={"size": 10, "seconds": 60})
    record = live.invoke("line", 25, kind="agents")
    assert sorted(record["response"]) == [2 * n for n in range(25)]
    assert sizes(live, record["activationId"]) == [5, 10, 10]


def test_an_incomplete_batch_waits_only_so_long(live: Live) -> None:
    source = "send_message(1)\nopen(ROOT / 'gate').read()"
    batched(live, source=source, batch={"size": 10, "seconds": 0.1})
    gate = live.gate("gate")
    activation = live.detach("line", kind="agents")
    until(lambda: live.progress(activation).get("each", {}).get("out"), "the answer of an incomplete batch")
    live.release(gate)
    assert live.wait(activation)["response"] == 2


def test_an_answer_may_be_one_payload_or_none(live: Live) -> None:
    batched(live, "print(sum(message()['payload']))", response="json", workers=1, batch={"size": 4, "seconds": 60})
    assert live.invoke("line", 6, kind="agents")["response"] == [6, 9]
    batched(live, "pass", batch={"size": 4})
    assert live.invoke("line", 6, kind="agents")["response"] is None


@pytest.mark.parametrize(
    "death",
    ["raise ValueError('bad')", "os.kill(os.getpid(), 9)", "from fabric_skill import reject\n    reject('bad')"],
)
def test_a_bad_record_is_alone_in_the_end_and_the_rest_is_done(live: Live, death: str) -> None:
    program = f"if any(n in (7, 21) for n in message()['payload']):\n    {death}\n{DOUBLE}"
    batched(live, program, onError="continue", batch={"size": 16, "seconds": 60})
    record = live.run("agents", "invoke", "line", "--payload", 32, "-o", "json").value
    assert sorted(record["response"]) == [2 * n for n in range(32) if n not in (7, 21)]
    assert (record["status"], record["error"]["deadLetters"]) == ("ERROR", 2)
    letters = live.ok("deadletters", "list", "-o", "json").value
    assert sorted(letter["record"]["offset"] for letter in letters) == [7, 21]
    assert {letter["attempts"] for letter in letters} == {5}, "with 16, 8, 4, 2 and 1 records"
    assert "Nothing is wrong" in live.ok("state", "check").err


def test_a_batch_that_is_not_split_is_dead_as_a_whole(live: Live) -> None:
    program = f"if 3 in message()['payload']: sys.exit(1)\n{DOUBLE}"
    batched(live, program, onError="continue", workers=1, batch={"size": 4, "seconds": 60, "split": False})
    record = live.run("agents", "invoke", "line", "--payload", 8, "-o", "json").value
    assert record["response"] == [8, 10, 12, 14]
    assert record["error"]["deadLetters"] == 4
    letters = live.ok("deadletters", "list", "-o", "json").value
    assert sorted(letter["record"]["offset"] for letter in letters) == [0, 1, 2, 3]


def test_retries_come_before_halves(live: Live) -> None:
    program = f"""
        marker = ROOT / f"tried-{{len(message()['payload'])}}"
        if not marker.exists():
            marker.touch()
            sys.exit(1)
        {DOUBLE}
    """
    batched(
        live, program, onError="continue", retries={"limit": 1, "backoff_seconds": 0}, batch={"size": 4, "seconds": 60}
    )
    record = live.invoke("line", 4, kind="agents")
    assert record["response"] == [0, 2, 4, 6]
    assert sizes(live, record["activationId"]) == [4]


def test_a_batch_fails_its_activation_unless_told_otherwise(live: Live) -> None:
    batched(live, "sys.exit(3)", batch={"size": 4, "seconds": 60})
    record = live.run("agents", "invoke", "line", "--payload", 4, "-o", "json").value
    assert (record["status"], record["error"]["exitCode"]) == ("ERROR", 3)
    assert record["error"]["record"] == {"channel": 2, "offset": 0, "count": 4, "mapping": "source.response → each"}


def test_what_is_no_json_on_a_line_is_said(live: Live) -> None:
    batched(live, "print(1)\nprint('two')", batch={"size": 4, "seconds": 60})
    record, _ = live.fail("line", 4, kind="agents")
    assert "'response: jsonl' needs one JSON value on each line of stdout; line 2" in record["error"]["reason"]


def test_a_batch_is_found_again_after_its_owner_was_killed(live: Live) -> None:
    program = f"if 0 in message()['payload']: open(ROOT / 'gate').read()\n{DOUBLE}"
    batched(live, program, batch={"size": 3, "seconds": 0.1})
    gate = live.gate("gate")
    activation = live.detach("line", 9, kind="agents")
    until(lambda: live.progress(activation).get("each", {}).get("out", 0) >= 6, "the other batches")
    live.kill_owner()
    live.release(gate)
    assert sorted(live.wait(activation)["response"]) == [2 * n for n in range(9)]


def test_a_trace_leads_from_an_answer_to_the_records_of_its_batch(live: Live) -> None:
    batched(
        live, "print(json.dumps(message()['payload']))", response="json", workers=1, batch={"size": 3, "seconds": 60}
    )
    record = live.invoke("line", 6, kind="agents")
    assert record["response"] == [[0, 1, 2], [3, 4, 5]]
    traced = live.ok("trace", record["activationId"], "--offset", 1, "-o", "json").value
    assert [[3, 6]] in [stop["offsets"] for stop in traced["records"]], json.dumps(traced)

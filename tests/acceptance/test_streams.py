"""Agents: records flow while their sender runs, in order, along the named wires, and no faster than they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.live import Live, records, until

COUNT = "for n in range(message()['payload']): send_message({'n': n})"
PASS = "for record in messages(): send_message(record)"


@pytest.fixture(autouse=True, params=[False, True], ids=["cold", "warm"])
def _warm(request: pytest.FixtureRequest, live: Live) -> None:
    live.warm = request.param


def test_stdout_of_a_job_is_the_payload_of_the_next(live: Live) -> None:
    live.skill("first", "print('one ' + message()['payload'])")
    live.skill("second", "print(message()['payload'].upper(), end='')")
    live.skill("third", "print(json.dumps([message()['payload'], message()['agentName']]))", response="json")
    live.agent("chain", ("input", "first"), ("first", "second"), ("second", "third"), ("third", "output"))
    record = live.invoke("chain", "é", kind="agents")
    assert record["response"] == ["ONE É\n", "local-chain"]
    assert record["serviceName"] == "input"
    shown = live.ok("activations", "show", record["activationId"]).out
    assert [line.split()[:3] for line in shown.splitlines()[-3:]] == [
        ["first", "1", "1"],
        ["second", "1", "1"],
        ["third", "1", "1"],
    ]


def test_a_job_is_run_once_for_each_message(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("each", "print(message()['payload']['n'] * 2, end='')", response="json")
    live.agent("spread", ("input", "source"), ("source", "each"), ("each", "output"))
    record = live.invoke("spread", 25, kind="agents")
    assert sorted(record["response"]) == [2 * n for n in range(25)]
    tasks = live.ok("tasks", "list", "--skill", "each", "--limit", 100, "-o", "json").value
    assert sorted(task["record"]["offset"] for task in tasks) == list(range(25))
    assert {task["state"] for task in tasks} == {"COMPLETE"}


def test_one_worker_keeps_the_order_of_messages(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("each", "print(message()['payload']['n'])", response="json", workers=1)
    live.agent("strict", ("input", "source"), ("source", "each"), ("each", "output"))
    assert live.invoke("strict", 12, kind="agents")["response"] == list(range(12))


def test_a_stream_reads_every_record_in_order(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("pass", PASS, receives="stream")
    live.agent("line", ("input", "source"), ("source", "pass"), ("pass", "output"))
    record = live.invoke("line", 5000, kind="agents")
    assert record["response"]["count"] == 5000
    out = live.ok("activations", "response", record["activationId"]).out
    assert records(out) == [{"n": n} for n in range(5000)]


def test_records_are_seen_while_their_sender_runs(live: Live) -> None:
    """The sender waits for the consumer to note each record before it sends the next, so buffering would fail the test."""
    live.skill("source", "for n in range(3):\n    send_message(n)\n    open(ROOT / f'seen-{n}').read()\n")
    live.skill("look", "for n in messages():\n    open(ROOT / f'seen-{n}', 'w').close()\n", receives="stream")
    for n in range(3):
        live.gate(f"seen-{n}")  # opening it blocks until the other side does
    live.agent("alive", ("input", "source"), ("source", "look"), ("look", "output"))
    assert live.invoke("alive", kind="agents")["status"] == "COMPLETE"


def test_ordinary_jobs_start_while_their_sender_runs(live: Live) -> None:
    live.skill("source", "send_message('a')\nopen(ROOT / 'gate').read()\nsend_message('b')")
    live.skill("each", "Path(ROOT, 'ran-' + message()['payload']).touch()")
    live.agent("alive", ("input", "source"), ("source", "each"), ("each", "output"))
    gate = live.gate("gate")
    activation = live.detach("alive", kind="agents")
    until((live.root / "ran-a").exists, "the first message's task")
    assert not (live.root / "ran-b").exists()
    live.release(gate)
    assert live.wait(activation)["response"] == ["", ""]


def test_fan_out_gives_every_record_to_both(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("left", "print(sum(r['n'] for r in messages(acknowledge='end')))", receives="stream", response="json")
    live.skill("right", "for r in messages(): send_message(-r['n'])", receives="stream")
    live.agent(
        "fork", ("input", "source"), ("source", "left"), ("source", "right"), ("left", "output"), ("right", "output")
    )
    assert live.invoke("fork", 50, kind="agents")["response"] == [1225, *(-n for n in range(50))]


def test_fan_in_reads_all_senders_each_in_order(live: Live) -> None:
    live.skill("odd", "for n in range(1, 400, 2): send_message(n)")
    live.skill("even", "for n in range(0, 400, 2): send_message(n)")
    live.skill("join", PASS, receives="stream")
    live.agent("funnel", ("input", "odd"), ("input", "even"), ("odd", "join"), ("even", "join"), ("join", "output"))
    response = live.invoke("funnel", kind="agents")["response"]
    assert [n for n in response if n % 2] == list(range(1, 400, 2))
    assert [n for n in response if not n % 2] == list(range(0, 400, 2))


def test_fan_in_of_ordinary_jobs_runs_once_per_message(live: Live) -> None:
    live.skill("a", "print('a', end='')")
    live.skill("b", "print('b', end='')")
    live.skill("join", "print(message()['payload'], end='')")
    live.agent("funnel", ("input", "a"), ("input", "b"), ("a", "join"), ("b", "join"), ("join", "output"))
    assert sorted(live.invoke("funnel", kind="agents")["response"]) == ["a", "b"]


def test_records_take_the_output_that_is_named_and_unwired_ones_are_dropped(live: Live) -> None:
    program = """
    for n in range(30):
        send_message(n, ("small", "large", "nowhere")[n // 10])
    """
    live.skill("sort", program, outputs=("small", "large", "nowhere"))
    live.skill("low", "print(json.dumps(list(messages(acknowledge='end'))))", receives="stream", response="json")
    live.skill("high", "print(json.dumps(list(messages(acknowledge='end'))))", receives="stream", response="json")
    live.agent(
        "route",
        ("input", "sort"),
        ("sort.small", "low"),
        ("sort.large", "high"),
        ("low", "output"),
        ("high", "output"),
    )
    record = live.invoke("route", kind="agents")
    assert record["response"] == [list(range(10)), list(range(10, 20))]
    assert live.ok("tasks", "show", "sort", "-o", "json").value["sent"] == 30


def test_printed_text_of_an_unwired_output_goes_nowhere(live: Live) -> None:
    live.skill("first", "print('lost')", outputs=("unwired", "wired"))
    live.skill("second", "print('never')")
    live.agent("gone", ("input", "first"), ("first.wired", "second"), ("second", "output"))
    record = live.invoke("gone", kind="agents")
    assert (record["status"], record["response"]) == ("COMPLETE", None)
    assert live.ok("tasks", "list", "--skill", "second").out == ""


def test_a_stream_ends_when_nobody_can_send_any_more(live: Live) -> None:
    live.skill("nothing", "pass", outputs=("unused", "used"))
    live.skill("count", "print(len(list(messages())))", receives="stream", response="json")
    live.agent("empty", ("input", "nothing"), ("nothing.used", "count"), ("count", "output"))
    assert live.invoke("empty", kind="agents")["response"] == 0


def test_a_stream_may_stop_before_its_input_ends(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("take", "for r in messages():\n    send_message(r)\n    if r['n'] == 4: break", receives="stream")
    live.agent("head", ("input", "source"), ("source", "take"), ("take", "output"))
    record = live.invoke("head", 100_000, kind="agents")  # more than the credit, but the sender must not wait for ever
    assert record["response"] == [{"n": n} for n in range(5)]
    assert live.ok("tasks", "show", "source", "-o", "json").value["state"] == "COMPLETE"


def test_a_sender_waits_for_a_consumer_that_does_not_read(live: Live) -> None:
    """The credit is 65,536 records: the sender stops there until the consumer begins."""
    window = (4 << 20) // (200 + 64)  # records that it may send ahead
    program = "for n in range(message()['payload']): send_message({'n': n, 'pad': 'x' * 200})"
    live.skill("source", program + "\n(ROOT / 'all-sent').touch()")
    live.skill(
        "late", "open(ROOT / 'gate').read()\nprint(sum(1 for r in messages()))", receives="stream", response="json"
    )
    live.skill("other", COUNT)
    live.agent("slow", ("input", "source"), ("source", "late"), ("late", "output"))
    gate = live.gate("gate")

    activation = live.detach("slow", 100_000, kind="agents")
    sent = until(lambda: _at_least(live, activation, 65_536), "the whole credit is used")
    assert live.invoke("other", 20_000)["response"]["count"] == 20_000  # as many as are left, through the same gateway
    assert live.progress(activation)["source"]["out"] - sent <= window  # at most one more commit
    assert live.progress(activation)["late"]["waiting"] <= 65_536 + window
    assert not (live.root / "all-sent").exists()

    live.release(gate)
    assert live.wait(activation)["response"] == 100_000
    assert (live.root / "all-sent").exists()


def test_the_same_skill_may_stand_twice_in_an_agent(live: Live) -> None:
    live.skill("add", "print(message()['payload'] + message()['properties']['step'])", response="json")
    document = {
        "camel": "1.0.0",
        "name": "twice",
        "skills": [
            {"skillName": "add", "refId": "one", "properties": [{"name": "step", "value": 1}]},
            {"skillName": "add", "refId": "ten", "properties": [{"name": "step", "value": 10}]},
        ],
        "mappings": [
            {"from": "input", "to": "one"},
            {"from": "one", "to": "ten"},
            {"from": "ten", "to": "output"},
        ],
    }
    _write(live.root / "agents" / "twice.yaml", document)
    assert live.invoke("twice", 100, kind="agents")["response"] == 111


def test_a_large_fan_of_messages_goes_through_two_levels(live: Live) -> None:
    live.skill("source", "for n in range(12): send_message(n)")
    live.skill("double", "send_message(message()['payload']); send_message(message()['payload'])")
    live.skill("total", "print(json.dumps(sorted(messages(acknowledge='end'))))", receives="stream", response="json")
    live.agent("wide", ("input", "source"), ("source", "double"), ("double", "total"), ("total", "output"))
    assert live.invoke("wide", kind="agents")["response"] == sorted(2 * list(range(12)))


def test_records_of_an_aggregator_are_released_when_it_ends(live: Live) -> None:
    live.skill("source", COUNT)
    program = "for r in messages(acknowledge='end'): send_message(r['n'])\nflush(); open(ROOT / 'gate').read()"
    live.skill("hold", program, receives="stream")
    live.skill("after", "for r in messages():\n    send_message(r); Path(ROOT, 'seen').touch()", receives="stream")
    live.agent("held", ("input", "source"), ("source", "hold"), ("hold", "after"), ("after", "output"))
    gate = live.gate("gate")
    activation = live.detach("held", 10, kind="agents")
    until(lambda: live.progress(activation)["source"]["out"] == 10, "the source has sent")
    live.invoke("source", 1)
    assert not (live.root / "seen").exists()
    live.release(gate)
    assert live.wait(activation)["response"] == list(range(10))


def _at_least(live: Live, activation: str, count: int) -> int:
    sent = live.progress(activation)["source"]["out"]
    return int(sent) if sent >= count else 0


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))

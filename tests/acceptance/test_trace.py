"""Lineage: from a record of the response back to the input, and forward from the input."""

from __future__ import annotations

from typing import Any

from tests.acceptance.live import Live


def offsets(stop: dict[str, Any]) -> list[int]:
    return [offset for first, after in stop["offsets"] for offset in range(first, after)]


def trace(live: Live, activation: str, *words: object) -> dict[str, list[int]]:
    """Return the offsets of a trace in each channel, by mapping."""
    found = live.ok("trace", activation, *words, "-o", "json").value["records"]
    return {stop["mapping"]: offsets(stop) for stop in found}


def pipeline(live: Live) -> str:
    live.skill("source", "for n in range(message()['payload']): send_message(n)")
    live.skill(
        "thirds",
        "for n in messages():\n    if n % 3 == 0:\n        send_message(n); send_message(n + 1)",
        receives="stream",
    )
    live.skill("each", "print(message()['payload'])", response="json", workers=1)
    live.agent("line", ("input", "source"), ("source", "thirds"), ("thirds", "each"), ("each", "output"))
    activation: str = live.invoke("line", 12, kind="agents")["activationId"]
    return activation


def test_a_record_is_traced_back_to_the_input_over_streams_and_messages(live: Live) -> None:
    activation = pipeline(live)
    assert trace(live, activation, "--offset", 5) == {
        "each.response → output": [5],
        "thirds.response → each": [5],
        "source.response → thirds": [6],
        "input → source": [0],
    }
    text = live.ok("trace", activation, "--offset", 5).out
    assert "each.response → output" in text
    assert "by local-each-each-" in text


def test_what_a_record_caused_is_traced_forward(live: Live) -> None:
    activation = pipeline(live)
    everything = trace(live, activation)
    assert everything["source.response → thirds"] == list(range(12))
    assert everything["each.response → output"] == list(range(8))
    stops = live.ok("trace", activation, "-o", "json").value["records"]
    channel = next(stop["channel"] for stop in stops if stop["mapping"] == "source.response → thirds")
    assert trace(live, activation, "--channel", channel, "--offset", 9, "--forward") == {
        "source.response → thirds": [9],
        "thirds.response → each": [6, 7],
        "each.response → output": [6, 7],
    }


def test_an_aggregate_and_a_join_come_from_all_that_they_gathered(live: Live) -> None:
    live.skill("source", "for n in range(5): send_message(n)")
    live.skill("sum", "print(sum(messages(acknowledge='end')))", receives="stream", response="json")
    live.agent("total", ("input", "source"), ("source", "sum"), ("sum", "output"))
    live.agent("all", ("input", "source"), ("source", "output", {"join": "all"}))
    for agent in ("total", "all"):
        record = live.invoke(agent, None, kind="agents")
        found = trace(live, record["activationId"], "--offset", 0)
        assert sorted(map(len, found.values())) == [1, 1, 5]


def test_the_input_goes_into_every_channel_that_begins_with_it(live: Live) -> None:
    live.skill("one", "print(1)", response="json")
    live.skill("two", "print(2)", response="json")
    live.agent("both", ("input", "one"), ("input", "two"), ("one", "output"), ("two", "output"))
    record = live.invoke("both", None, kind="agents")
    assert {"input → one", "input → two"} <= trace(live, record["activationId"]).keys()


def test_a_record_that_is_not_there_is_said(live: Live) -> None:
    activation = pipeline(live)
    assert "it has no record 99" in live.fails(3, "trace", activation, "--offset", 99)
    live.fails(3, "trace", activation, "--channel", 999, "--offset", 0)
    live.fails(3, "trace", "nothing", "--offset", 0)

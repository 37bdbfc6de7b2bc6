"""The response of an activation, read while it grows: each record once, whatever comes in between."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.test_users import Caller

# Each line that comes through its gate is a number of records to send.
SENDS = """
for line in open(ROOT / {gate!r}):
    for n in range(int(line)):
        send_message([{gate!r}, n])
    flush()
"""


class Reader:
    """Reads a response with the cursor."""

    def __init__(self, live: Live, activation: str, **query: object) -> None:
        self.caller = Caller(live)
        self.path = f"{PROJECT}/activations/{activation}/response"
        self.cursor = ""
        self.query = query
        self.ended = False

    def read(self, **query: object) -> list[Any]:
        words = {**self.query, **query, "cursor": self.cursor}
        answer = self.caller.call("GET", f"{self.path}?" + "&".join(f"{key}={value}" for key, value in words.items()))
        assert answer.status == 200, answer
        self.cursor = answer.headers["x-fabric-cursor"]
        self.ended = answer.headers["x-fabric-end"] == "true"
        return [json.loads(line) for line in answer.body.splitlines()]


def all_of(pages: list[list[Any]]) -> list[Any]:
    return [record for page in pages for record in page]


@pytest.fixture
def two(live: Live) -> Live:
    """An agent with two skills that lead to its output."""
    for name in ("left", "right"):
        live.skill(name, SENDS.format(gate=name))
        live.gate(name)
    live.agent("two", ("input", "left"), ("input", "right"), ("left", "output"), ("right", "output"))
    return live


def test_records_come_once_although_an_earlier_channel_grows(two: Live) -> None:
    activation = two.detach("two", kind="agents")
    reader = Reader(two, activation)
    assert (reader.read(), reader.ended) == ([], False)
    with open(two.root / "left", "w") as left, open(two.root / "right", "w") as right:
        seen = []
        for gate, count in ((right, 3), (left, 2), (right, 1), (left, 4)):
            print(count, file=gate, flush=True)
            found: list[Any] = []
            while len(found) < count:
                found += reader.read(wait=60)
                assert not reader.ended
            assert found == [[gate.name.rpartition("/")[2], n] for n in range(count)]
            seen += found
        assert reader.read() == []
    while not reader.ended:
        assert reader.read(wait=60) == []
    assert two.wait(activation)["response"] == [*seen[3:5], *seen[6:], *seen[:3], seen[5]]
    whole = Reader(two, activation, limit=3)
    pages = []
    while not whole.ended:
        pages.append(whole.read())
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert all_of(pages) == two.wait(activation)["response"]


def test_a_channel_that_grows_fast_does_not_hold_up_the_other(two: Live) -> None:
    activation = two.detach("two", kind="agents")
    reader = Reader(two, activation, limit=10)
    with open(two.root / "left", "w") as left, open(two.root / "right", "w") as right:
        print(5, file=right, flush=True)
        print(1000, file=left, flush=True)
        until(lambda: all(two.progress(activation)[name]["out"] for name in ("left", "right")), "both have sent")
        until(lambda: two.progress(activation)["left"]["out"] == 1000, "all is sent")
        until(lambda: two.progress(activation)["right"]["out"] == 5, "all is sent")
        pages = [reader.read() for _ in range(3)]
        assert ["right", 4] in all_of(pages)
    while not reader.ended:
        pages.append(reader.read(wait=60))
    assert sorted(all_of(pages)) == sorted([["left", n] for n in range(1000)] + [["right", n] for n in range(5)])


def test_a_cursor_outlives_the_gateway_and_a_long_poll_wakes(two: Live) -> None:
    activation = two.detach("two", kind="agents")
    reader = Reader(two, activation)
    with open(two.root / "left", "w") as left, open(two.root / "right", "w"):
        print(2, file=left, flush=True)
        found: list[Any] = []
        while len(found) < 2:
            found += reader.read(wait=60)
        before = reader.cursor
        two.kill_owner()
        reader = Reader(two, activation)
        reader.cursor = before
        later: list[Any] = []
        waiting = threading.Thread(target=lambda: later.extend(reader.read(wait=60)))
        waiting.start()
        print(1, file=left, flush=True)
        waiting.join(60)
    assert (found, later) == ([["left", 0], ["left", 1]], [["left", 0]])


def test_bad_cursors_are_400_and_a_foreign_one_is_nobodys(two: Live) -> None:
    two.skill("one", "send_message(1)")
    activation = two.invoke("one")["activationId"]
    caller = Caller(two)
    path = f"{PROJECT}/activations/{activation}/response"
    for cursor in ("x", "0.2", "1.1", "-1", "0.1-", "0." + "9" * 19, "0.1%00", "9" * 5000):
        assert "cursor" in caller.refused(400, "GET", f"{path}?cursor={cursor}")
    assert "skip" in caller.refused(400, "GET", f"{path}?cursor=0.1&skip=1")
    for query in ("wait=-1", "wait=61", "wait=x", "limit=0", "limit=10001"):
        caller.refused(400, "GET", f"{path}?{query}")
    caller.refused(404, "GET", f"/fabric/v4/projects/other/activations/{activation}/response")
    answer = caller.call("GET", f"{path}?skip=7&wait=60")
    assert (answer.status, answer.body, answer.headers["x-fabric-end"]) == (200, b"", "true")


def test_the_command_follows_and_says_how_it_ended(two: Live) -> None:
    activation = two.detach("two", kind="agents")
    followed = two.start("activations", "response", activation, "--follow")
    with open(two.root / "right", "w"):
        with open(two.root / "left", "w") as left:
            print(1, file=left, flush=True)
            followed.wait_for('["left",0]')
            shown = two.ok("activations", "response", activation)
            assert shown.out == '["left",0]\n'
            assert "--follow" in shown.err
            print("no number", file=left, flush=True)
        ran = followed.finish()
    assert (ran.code, ran.out) == (1, '["left",0]\n')
    assert "skill 'left' failed" in ran.err
    again = two.ok("activations", "response", activation)
    assert (again.out, again.err) == ('["left",0]\n', "")

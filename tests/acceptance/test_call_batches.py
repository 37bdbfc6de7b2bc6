"""Batches of HTTP calls: an array in, an array of as many answers out, or the whole batch has failed and is halved."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.acceptance.live import Live
from tests.acceptance.test_calls import chain, daemon, served

BATCH = {"size": 8, "seconds": 0.2}
DOUBLE = """
def handle(envelope, request):
    numbers = envelope["payload"]
    with open(ROOT / "calls", "a") as file:
        file.write(f"{len(numbers)}\\n")
    if 11 in numbers:
        return 500, b""
    return 200, {"payload": [2 * n for n in numbers]}
serve()
"""


def calls(live: Live) -> list[int]:
    return [int(line) for line in (live.root / "calls").read_text().split()]


def test_a_daemon_gets_arrays_and_answers_arrays(live: Live) -> None:
    daemon(live, "each", DOUBLE, batch={"size": 4, "seconds": 60})
    chain(live)
    assert live.invoke("line", 10, kind="agents")["response"] == [2 * n for n in range(10)]
    assert calls(live) == [4, 4, 2], "the last one is incomplete, and nothing can follow"


def test_a_bad_record_is_found_and_the_answers_keep_their_order(live: Live) -> None:
    daemon(live, "each", DOUBLE, batch=BATCH, onError="continue")
    chain(live)
    record = live.run("agents", "invoke", "line", "--payload", 20, "-o", "json").value
    assert record["response"] == [2 * n for n in range(20) if n != 11]
    (letter,) = live.ok("deadletters", "list", "-o", "json").value
    assert (letter["record"]["offset"], letter["attempts"]) == (11, 4)


@pytest.mark.parametrize(("answer", "words"), [("[1]", "is an array of 1"), ("7", "is no array: 7")])
def test_an_answer_must_have_as_many_elements(live: Live, answer: str, words: str) -> None:
    daemon(
        live, "each", f'def handle(envelope, request):\n    return 200, {{"payload": {answer}}}\nserve()\n', batch=BATCH
    )
    chain(live)
    record, _ = live.fail("line", 3, kind="agents")
    assert "must be an array of 3 answers" in record["error"]["reason"]
    assert words in record["error"]["reason"]


class Numbers(BaseHTTPRequestHandler):
    """Doubles arrays and numbers; answers 503 once, and 400 to a 5."""

    protocol_version = "HTTP/1.1"
    busy = threading.Event()
    sizes: list[int]

    def do_POST(self) -> None:
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        numbers = value if isinstance(value, list) else [value]
        self.sizes.append(len(numbers))
        status = 400 if 5 in numbers else 200 if self.busy.is_set() else 503
        self.busy.set()
        doubled: Any = [2 * n for n in numbers]
        body = json.dumps(doubled if isinstance(value, list) else doubled[0]).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def numbers() -> Iterator[str]:
    Numbers.busy.clear()
    Numbers.sizes = []
    with served(Numbers) as url:
        yield url


def external(live: Live, url: str, **keys: Any) -> None:
    directory = live.root / "skills" / "each"
    directory.mkdir(parents=True)
    target = {"runtime": "cortex/external-api", "output": "response", **keys}
    document = {
        "camel": "1.0.0",
        "name": "each",
        "inputs": [{"name": "request", "routing": {"all": target}}],
        "outputs": [{"name": "response"}, {"name": "other"}],
        "properties": [{"name": "url", "defaultValue": url}],
    }
    (directory / "skill.yaml").write_text(json.dumps(document))


def test_an_external_api_is_tried_again_and_its_dead_records_are_kept(live: Live, numbers: str) -> None:
    external(live, numbers, retries={"limit": 1, "backoff_seconds": 0}, onError="continue", concurrency=4)
    chain(live)
    record = live.run("agents", "invoke", "line", "--payload", 8, "-o", "json").value
    assert record["response"] == [2 * n for n in range(8) if n != 5]
    assert record["error"]["deadLetters"] == 1


def test_an_external_api_gets_batches(live: Live, numbers: str) -> None:
    Numbers.busy.set()
    external(live, numbers, batch={"size": 4, "seconds": 60}, onError="continue")
    chain(live)
    record = live.run("agents", "invoke", "line", "--payload", 10, "-o", "json").value
    assert record["response"] == [2 * n for n in range(10) if n != 5]
    assert sorted(Numbers.sizes) == [1, 1, 2, 2, 2, 4, 4], "4, 4 with the 5 in it, its halves, and 2"


def test_keys_of_calls_are_not_for_a_routing_to_an_action(live: Live) -> None:
    live.skill("each", "pass")
    path = live.root / "skills/each/skill.yaml"
    document = json.loads(path.read_text())
    document["inputs"][0]["routing"]["all"]["concurrency"] = 3
    path.write_text(json.dumps(document))
    ran = live.run("workspaces", "lint")
    assert ran.code == 4
    assert "'concurrency' is only for cortex/external-api here" in ran.out

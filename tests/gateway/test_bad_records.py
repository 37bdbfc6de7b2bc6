"""Invalid records never get into the store, by whatever way they come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fabric_jobs.runtime.fabric_skill.http import Connection
from tests.acceptance.live import Live, until

SHOWS = "(ROOT / 'shown').write_text(json.dumps([message(), os.environ['FABRIC_JOBS_ATTEMPT']]))\nopen(ROOT / 'gate').read()"
BAD = {
    "bad UTF-8": b'"\xff"',
    "no JSON": b"{broken",
    "NaN": b"NaN",
    "long": b"1" * 5000,
    "deep": b"[" * 513 + b"]" * 513,
    "endless": b"[" * 50_000,
}


def commit(line: bytes) -> bytes:
    head = {"sequence": 1, "acks": [], "hand": None, "hold": False, "outputs": [["response", 1, len(line) + 1]]}
    return json.dumps(head).encode() + b"\n" + line + b"\n"


def test_what_is_no_record_is_refused_by_every_entrance(live: Live) -> None:
    live.skill("shows", SHOWS)
    gate = live.gate("gate")
    activation = live.detach("shows")
    told, attempt = json.loads(until(lambda: _text(live.root / "shown"), "the message"))
    address = live.published()
    jobs = Connection(address.socket, told["token"])
    plain = f"/px/internal/messages/{activation}/{told['channelId']}/response"
    for why, line in BAD.items():
        for path, body in ((plain, line), (f"/px/internal/attempts/{attempt}/commit", commit(line))):
            answer = jobs.request("POST", path, body)
            assert answer.status == 400, (why, answer)
            assert "is not JSON" in json.loads(answer.body)["message"], why
    owner = Connection(address.socket, address.token)
    invoke = "/fabric/v4/projects/local/skillinvoke/shows/inputs/request"
    for line in BAD.values():
        answer = owner.request("POST", invoke, b'{"payload": [%s]}' % line)
        assert answer.status == 400, answer
    assert live.progress(activation)["shows"]["out"] == 0
    deep = b"[" * 512 + b"]" * 512
    assert jobs.request("POST", plain, deep).status == 200
    assert jobs.request("POST", f"/px/internal/attempts/{attempt}/commit", commit(deep)).status == 200
    jobs.close()
    owner.close()
    live.release(gate)
    assert live.wait(activation)["response"] == [json.loads(deep)] * 2


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("response", ["json", "stdout"])
def test_a_record_whose_answer_is_too_deep_is_a_dead_letter(live: Live, response: str) -> None:
    live.skill("deep", "print('[' * 600 + ']' * 600, end='')", response=response, onError="continue")
    if response == "stdout":
        assert live.invoke("deep")["response"] == "[" * 600 + "]" * 600
        return
    live.fail("deep")
    (letter,) = live.ok("deadletters", "list", "-o", "json").value
    assert "nested deeper than 512 levels" in json.dumps(letter)


def test_a_record_passes_every_station_at_the_limit(live: Live) -> None:
    live.skill("source", "send_message(message()['payload'])\nsend_message(message()['payload'])")
    live.skill("reads", "for record in messages(): send_message(record)", receives="stream")
    live.skill("asks", "print(json.dumps(message()['payload']))", response="json")
    when = {"when": {"no.such": {"exists": False}}}
    live.agent("line", ("input", "source"), ("source", "reads"), ("reads", "asks", when), ("asks", "output"))
    deep = json.loads("[" * 512 + "]" * 512)
    assert live.invoke("line", deep, kind="agents")["response"] == [deep, deep]


def test_a_property_with_a_line_break_is_no_header(live: Live) -> None:
    target = {"runtime": "cortex/external-api", "output": "response"}
    for name, value in (("headers.X-Key", "abc\r\nX-Evil: 1"), ("method", "POST / HTTP/1.1\r\nX-Evil: 1\r\n")):
        document = {
            "camel": "1.0.0",
            "name": "api",
            "inputs": [{"name": "request", "routing": {"all": target}}],
            "outputs": [{"name": "response"}],
            "properties": [
                {"name": "url", "defaultValue": "http://127.0.0.1:9"},
                {"name": name, "defaultValue": value},
            ],
        }
        (live.root / "skills" / "api").mkdir(exist_ok=True)
        (live.root / "skills" / "api" / "skill.yaml").write_text(json.dumps(document))
        _, said = live.fail("api")
        assert "contains a line break" in said

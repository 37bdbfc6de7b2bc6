"""Invocations that are posted twice, with keys and with the ids that orchestrators give."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.test_users import Caller

ECHO = "print(message()['payload'], end='')"
INVOKE = "/skillinvoke/echo/inputs/request"
AIRFLOW = "scheduled__2026-01-31T00:00:00+00:00"
ODD_IDS = (
    AIRFLOW,
    "x",
    "a b",
    "50%41?x=1&y#z;",
    "..a\\b:*|<>\"'",
    "žluťoučký 日本",
    "é" * 125,
    "-rf",
    "~",
    "%2F",
    "null",
)
BAD_IDS = ("a/b", "..", ".", "é" * 126, "x" * 251, "a\nb", "a\0b", "\u2028", "\x7f")


@pytest.fixture
def echo(live: Live) -> Live:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.skill("echo", ECHO)
    live.invoke("echo")
    return live


def refused(caller: Caller, status: int, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = caller.call("POST", PROJECT + INVOKE, json.dumps(body).encode(), **headers)
    value: dict[str, Any] = json.loads(answer.body)
    assert (answer.status, value["success"]) == (status, False), answer
    return value


def test_a_key_in_the_body_or_the_header_starts_one_activation_and_says_so(echo: Live) -> None:
    caller = Caller(echo)
    path = PROJECT + INVOKE
    key = "naïve ključ"
    first = caller.post(INVOKE, {"payload": 1, "key": key})
    assert "attached" not in first
    again = caller.call("POST", path, b'{"payload": 1}', **{"idempotency-key": key})
    assert again.headers["x-fabric-attached"] == "true"
    assert json.loads(again.body) == {"success": True, "activationId": first["activationId"], "attached": True}
    record = caller.sync(INVOKE + "?sync=true", {"payload": 1, "key": key, "ifExists": "attach"})
    assert (record["activationId"], record["key"], record["response"]) == (first["activationId"], key, "1")
    different = refused(caller, 409, {"payload": 2, "key": key, "properties": {"speed": 1}})
    assert different["activationId"] == first["activationId"]
    assert [detail["path"] for detail in different["details"]] == [["payload"], ["properties"]]
    assert "another payload and another properties" in different["message"]
    assert refused(caller, 409, {"payload": 1, "key": key, "ifExists": "fail"})["error"] == "AlreadyExists"


def test_what_is_no_key_or_id_is_refused_and_starts_nothing(echo: Live) -> None:
    caller = Caller(echo)
    before = len(caller.get("/activations")["activations"])
    wrong: tuple[Any, ...] = ("", "x" * 1025, "é" * 513, 1, True, ["k"], {}, "\ud800")
    for key in wrong:
        assert "key" in refused(caller, 400, {"payload": 1, "key": key})["message"] or key == "\ud800"
    refused(caller, 400, {"payload": 1}, **{"idempotency-key": ""})
    refused(caller, 400, {"payload": 1}, **{"idempotency-key": "x" * 1025})
    host, _, port = caller.address.url.removeprefix("http://").partition(":")
    plain = http.client.HTTPConnection(host, int(port))  # it sends a header as Latin-1
    headers = {"authorization": f"Bearer {caller.address.token}", "idempotency-key": "\xff"}
    plain.request("POST", PROJECT + INVOKE, b'{"payload": 1}', headers)
    assert plain.getresponse().status == 400
    plain.close()
    assert "not the same" in refused(caller, 400, {"payload": 1, "key": "a"}, **{"idempotency-key": "b"})["message"]
    for way in ("no", 1, ["fail"], "RETRY"):
        assert "ifExists" in refused(caller, 400, {"payload": 1, "key": "k", "ifExists": way})["message"]
    for name in (*BAD_IDS, 1, ["x"]):
        assert "activationId" in refused(caller, 400, {"payload": 1, "activationId": name})["message"]
    assert len(caller.get("/activations")["activations"]) == before


@pytest.mark.parametrize("name", ODD_IDS, ids=range(len(ODD_IDS)))
def test_an_id_of_any_printable_text_works_everywhere(echo: Live, name: str) -> None:
    """Through files of records, messages of programs, routes and commands."""
    echo.environment["FABRIC_JOBS_INLINE_BYTES"] = "1"
    echo.skill("sends", "for n in range(3): send_message({'n': n, 'id': message()['activationId']})")
    echo.skill("sums", "for item in messages(): send_message(item)", receives="stream")
    echo.agent("pair", ("input", "sends"), ("sends", "sums"), ("sums", "output"))
    params = json.dumps({"payload": "x" * 10_000, "activationId": name})
    ran = echo.ok("agents", "invoke", "pair", "--params", params, "-o", "json")
    record = ran.value
    assert (record["activationId"], record["correlationId"]) == (name, name)
    assert record["response"] == [{"n": n, "id": name} for n in range(3)]
    caller = Caller(echo)
    path = f"/activations/{quote(name, safe='')}"
    assert caller.get(path)["activationId"] == name
    assert caller.get(f"{path}/follow")["activation"]["activationId"] == name
    assert len(caller.call("GET", f"{PROJECT}{path}/response").body.splitlines()) == 3
    assert caller.get(f"/tasks?activationId={quote(name, safe='')}")["tasks"][0]["activationId"] == name
    assert echo.ok("activations", "wait", "-q", "-o", "json", "--", name).value["status"] == "COMPLETE"
    assert echo.ok("trace", "-o", "json", "--", name).value["activationId"] == name
    assert f"activation {name} has ended before" in echo.ok("activations", "cancel", "--", name).out
    assert all(each.name.isascii() for each in echo.state.rglob("*"))


def test_a_program_that_sends_by_plain_http_has_such_an_id_too(echo: Live) -> None:
    echo.skill(
        "plain",
        """
import requests
from urllib.parse import quote
told = message()
url = f"{told['apiEndpoint']}/internal/messages/{told['activationId']}/{told['channelId']}/{told['outputName']}"
for each in (url, url.replace(told["activationId"], quote(told["activationId"], safe=""))):
    requests.post(each, json=1, headers={"Authorization": "Bearer " + told["token"]}, timeout=30).raise_for_status()
""",
    )
    for name in (AIRFLOW, "50%41"):
        params = json.dumps({"payload": 1, "activationId": name})
        assert echo.ok("skills", "invoke", "plain", "--params", params, "-o", "json").value["response"] == [1, 1]


def test_the_command_attaches_to_what_has_its_key_and_waits_for_it(echo: Live) -> None:
    echo.skill("held", "open(ROOT / 'gate').read()\nprint('done', end='')")
    gate = echo.gate("gate")
    words = ("skills", "invoke", "held", "--payload", "1", "--key", "daily")
    first = echo.ok(*words, "--detach").out.strip()
    second = echo.start(*words, "-o", "json", "--quiet")
    second.wait_for(f"Attached to activation {first}")
    echo.release(gate)
    assert json.loads(second.finish().out)["activationId"] == first
    error = echo.fails(2, *words, "--if-exists", "fail")
    assert first in error
    assert "COMPLETE" in error
    assert "another payload" in echo.fails(2, "skills", "invoke", "held", "--payload", "2", "--key", "daily")
    assert "needs a --key" in echo.fails(2, "skills", "invoke", "held", "--payload", "1", "--if-exists", "fail")


def test_after_a_failure_the_key_starts_anew(echo: Live) -> None:
    echo.skill("once", "import os\nif not os.path.exists(ROOT / 'good'): sys.exit(3)\nprint('good', end='')")
    words = ("skills", "invoke", "once", "--payload", "1", "--key", "k", "-o", "json")
    first = echo.run(*words).value
    assert first["status"] == "ERROR"
    (echo.root / "good").touch()
    assert echo.run(*words, "--if-exists", "attach").value["activationId"] == first["activationId"]
    second = echo.ok(*words).value
    assert (second["activationId"] != first["activationId"], second["response"]) == (True, "good")
    assert echo.ok(*words).value["activationId"] == second["activationId"]


def test_a_killed_owner_forgets_no_key_and_starts_nothing_twice(echo: Live) -> None:
    words = ("skills", "invoke", "echo", "--payload", "1", "--key", "k", "--detach")
    first = echo.ok(*words).out.strip()
    echo.kill_owner()
    second = echo.run(*words)
    assert second.out.strip() == first
    assert until(lambda: echo.wait(first)["status"] == "COMPLETE", "it ends")
    found = Caller(echo).get("/activations")["activations"]
    assert len(found) == 2  # with that of the fixture

"""The routes of secrets, as Fabric's clients and running programs call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.test_users import Caller

SECRETS = f"{PROJECT}/secrets"
ASK = """
import urllib.request
m = message()
request = urllib.request.Request(f"{m['apiEndpoint']}:5000/internal/projects/{m['payload']}/secrets/a/b")
request.add_header("Authorization", f"Bearer {m['token']}")
try:
    print(urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""
HOLD = """
Path(ROOT / "part").write_text(json.dumps(message()))
os.rename(ROOT / "part", ROOT / "message")
open(ROOT / "gate").read()
"""


@pytest.fixture
def caller(live: Live) -> Iterator[Caller]:
    live.start("serve")
    live.published()
    yield Caller(live)
    for activation in live.get("/activations?status=pending")["activations"]:
        live.ok("activations", "cancel", activation["activationId"])


@pytest.mark.parametrize("value", ["text", "", 4711, False, [1, None], {"user": "me"}, {"value": "x", "other": 1}])
def test_a_raw_value_and_one_in_an_object_are_the_same(caller: Caller, value: Any) -> None:
    for body in (value, {"value": value}):
        answer = caller.post("/secrets/a", body)
        assert (answer["success"], answer["message"]) == (True, "secret 'a' is set.")
        assert caller.get("/secrets/a") == {"success": True, "value": value}


def test_names_may_have_slashes_raw_or_escaped(caller: Caller) -> None:
    for path, name in (("a/b.c-d", "a/b.c-d"), ("a%2Fe", "a/e"), ("plain", "plain")):
        caller.post(f"/secrets/{path}", "v")
        assert caller.get(f"/secrets/{name}")["value"] == "v"
    assert caller.get("/secrets?list=true") == ["a/b.c-d", "a/e", "plain"]
    rows = caller.get("/secrets")["secrets"]
    assert [row.keys() for row in rows] == [{"name", "updatedAt"}] * 3
    assert json.loads(caller.call("DELETE", f"{SECRETS}/a%2Fe").body)["success"] is True
    assert caller.get("/secrets?list") == ["a/b.c-d", "plain"]
    assert "no-store" in caller.call("GET", f"{SECRETS}/plain").headers["cache-control"]


BAD_BODIES = [b"", b"null", b'{"value": null}', b"hunter2", b'"\\ud800"', b'{"value": "\\udfff"}', b"NaN", b"\xff"]
BAD_NAMES = ["..%2f..%2fetc%2fpasswd", "a%00", "a..b", "%20", "a" * 256, "a%0a", "%C3%A9", "../../x", "a//b"]


def test_what_is_wrong_is_refused_and_nothing_is_set(caller: Caller) -> None:
    for body in BAD_BODIES:
        assert "hunter2" not in caller.refused(400, "POST", f"{SECRETS}/a", body)
    for name in BAD_NAMES:
        assert caller.refused(400, "POST", f"{SECRETS}/{name}", b'"v"'), name
        caller.refused(404, "GET", f"{SECRETS}/{name}")
        caller.refused(404, "DELETE", f"{SECRETS}/{name}")
    caller.refused(413, "POST", f"{SECRETS}/a", json.dumps("x" * (64 << 10)).encode())
    caller.refused(405, "PATCH", f"{SECRETS}/a", b'"v"')
    for method in ("GET", "DELETE"):
        assert "no secret 'a'" in caller.refused(404, method, f"{SECRETS}/a")
    assert caller.get("/secrets?list=true") == []


def test_a_refused_value_leaves_the_old_one(caller: Caller) -> None:
    caller.post("/secrets/a", "old")
    caller.refused(400, "POST", f"{SECRETS}/a", b'{"value": null}')
    caller.refused(413, "POST", f"{SECRETS}/a", b'"' + b"x" * (64 << 10) + b'"')
    assert caller.get("/secrets/a")["value"] == "old"


def test_another_project_sees_nothing(caller: Caller) -> None:
    caller.post("/secrets/a", "v")
    other = "/fabric/v4/projects/other/secrets"
    for method in ("GET", "DELETE"):
        assert caller.call(method, f"{other}/a").status in (403, 404)
    assert caller.get("/secrets/a")["value"] == "v"


def test_a_new_key_changes_no_value(caller: Caller, live: Live) -> None:
    caller.post("/secrets/a", "v")
    before = (live.state / "secrets.key").read_bytes()
    assert caller.post("/state/rotate-key", {}) == {"success": True, "count": 1}
    assert (live.state / "secrets.key").read_bytes() != before
    assert caller.get("/secrets/a")["value"] == "v"


def test_a_program_reads_a_secret_of_its_own_project(live: Live, caller: Caller) -> None:
    live.skill("ask", ASK, response="json")
    caller.post("/secrets/a/b", {"user": "me"})
    assert live.invoke("ask", "local")["response"] == {"success": True, "value": {"user": "me"}}
    for project in ("other", "..", "local%2f.."):
        found = live.invoke("ask", project)["response"]
        assert found["success"] is False
        assert "value" not in found


def test_tokens_are_good_while_their_attempt_lives(live: Live, caller: Caller) -> None:
    live.skill("hold", HOLD)
    gate = live.gate("gate")
    caller.post("/secrets/k", "v")
    activation = live.detach("hold")
    file = live.root / "message"
    until(file.exists, "the program runs")
    token = json.loads(file.read_text())["token"]
    path = "/px/internal/projects/local/secrets"
    assert json.loads(caller.call("GET", f"{path}/k", token=token).body) == {"success": True, "value": "v"}
    assert "no secret 'none'" in caller.refused(404, "GET", f"{path}/none", token=token)
    for wrong in ("", "x", token[:-1], token + "0", f"{token.partition('.')[0]}.e30."):
        caller.refused(401, "GET", f"{path}/k", token=wrong)
    caller.refused(403, "GET", f"{path.replace('local', 'other')}/k", token=token)
    caller.refused(405, "POST", f"{path}/k", b'"w"', token=token)
    assert json.loads(caller.call("GET", f"{SECRETS}/k", token=token).body)["value"] == "v"
    for method, where in (
        ("POST", f"{SECRETS}/k"),
        ("DELETE", f"{SECRETS}/k"),
        ("POST", f"{PROJECT}/state/rotate-key"),
    ):
        caller.refused(403, method, where, b'"w"', token=token)
    live.release(gate)
    live.wait(activation)
    for where in (path, SECRETS):
        assert "x-auth-error" in caller.call("GET", f"{where}/k", token=token).headers
        assert "is over" in caller.refused(401, "GET", f"{where}/k", token=token)
    assert caller.get("/secrets/k")["value"] == "v"

"""Callbacks: the record of an activation is posted at its end, signed, at least once, and only where that is allowed."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fabric_jobs.runtime.cortex_worker.ports import free_port
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.access import make_project, make_token
from tests.gateway.test_users import Caller
from tests.receiver import Received, Receiver, receiving

ECHO = "print(message()['payload'], end='')"
HELD = "open(ROOT / 'gate').read()"
INVOKE = "/skillinvoke/echo/inputs/request"


@pytest.fixture(autouse=True)
def _allowed(live: Live) -> None:
    live.environment["FABRIC_JOBS_CALLBACKS"] = "127.0.0.1"


@pytest.fixture(name="receiver")
def receiver_fixture() -> Iterator[Receiver]:
    """Yield a receiver."""
    with receiving() as receiver:
        yield receiver


def open_ones(live: Live) -> Any:
    return live.ok("callbacks", "list", "-o", "json").value


def echo(live: Live) -> Caller:
    """Make a skill that the gateway has, and return a caller."""
    live.skill("echo", ECHO)
    live.invoke("echo", 0)
    return Caller(live)


def test_the_record_is_posted_at_the_end_and_signed(live: Live, receiver: Receiver) -> None:
    caller = echo(live)
    answer = caller.post(INVOKE, {"payload": "größe", "properties": {"callbackUrl": f"{receiver.url}?token=s3cret"}})
    (call,) = receiver.wait(1)
    assert call.path == "/hook?token=s3cret"
    assert call.record["activationId"] == answer["activationId"]
    assert (call.record["status"], call.record["response"]) == ("COMPLETE", "größe")
    assert call.record == caller.get(f"/activations/{answer['activationId']}")
    assert call.headers["content-type"] == "application/json"
    key = live.ok("callbacks", "key").out.strip()
    check_signature(call, key)
    with pytest.raises(AssertionError):
        check_signature(Received(call.path, call.headers, call.body + b" "), key)
    until(lambda: open_ones(live) == [], "it is delivered")
    assert len(receiver.calls) == 1


def check_signature(call: Received, key: str) -> None:
    """Check a signature as docs/howto/callbacks.md describes it."""
    parts = dict(part.split("=", 1) for part in call.headers["x-fabric-signature"].split(","))
    signed = f"{parts['t']}.".encode() + call.body
    assert hmac.compare_digest(parts["v1"], hmac.new(key.encode(), signed, hashlib.sha256).hexdigest())
    assert abs(time.time() - int(parts["t"])) < 300


def test_it_may_be_asked_for_in_three_places_and_for_failures_too(live: Live, receiver: Receiver) -> None:
    live.skill("fails", "sys.exit(3)")
    caller = echo(live)
    live.fail("fails")
    ids = [
        caller.post(f"{INVOKE}?callbackUrl={receiver.url}", {"payload": 1})["activationId"],
        caller.post(INVOKE, {"payload": 1, "callbackUrl": receiver.url})["activationId"],
        caller.post("/skillinvoke/fails/inputs/request", {"payload": 1, "callbackUrl": receiver.url})["activationId"],
    ]
    records = {call.record["activationId"]: call.record for call in receiver.wait(3)}
    assert [records[key]["status"] for key in ids] == ["COMPLETE", "COMPLETE", "ERROR"]
    assert records[ids[2]]["error"]["exitCode"] == 3
    record = live.ok("skills", "invoke", "echo", "--params", json.dumps({"payload": 1, "callbackUrl": receiver.url}))
    assert record.out == "1\n"
    receiver.wait(4)


def test_a_try_that_fails_is_repeated(live: Live) -> None:
    caller = echo(live)
    with receiving(500, 302, 404) as receiver, receiving() as elsewhere:
        receiver.location = elsewhere.url
        caller.post(INVOKE, {"payload": 1, "callbackUrl": receiver.url})
        calls = receiver.wait(4)
        assert len({call.body for call in calls}) == 1
        until(lambda: open_ones(live) == [], "it is delivered")
        assert elsewhere.calls == []


def test_what_cannot_be_delivered_is_listed_and_tried_again_when_asked(live: Live) -> None:
    caller = echo(live)
    port = free_port()
    key = caller.post(INVOKE, {"payload": 1, "callbackUrl": f"http://127.0.0.1:{port}/hook?token=s3cret"})[
        "activationId"
    ]
    until(lambda: [item["error"] for item in open_ones(live)] not in ([], [""]), "a try fails")
    (item,) = open_ones(live)
    assert (item["activationId"], item["state"], item["url"]) == (key, "trying", f"http://127.0.0.1:{port}/hook?…")
    assert "cannot be reached" in item["error"]
    assert "s3cret" not in live.ok("callbacks", "list").out
    with receiving(port=port) as receiver:
        assert key in live.ok("callbacks", "retry", key).out
        receiver.wait(1)
        until(lambda: open_ones(live) == [], "it is delivered")
    live.fails(3, "callbacks", "retry", key)


def test_an_owner_killed_between_the_end_and_the_callback_is_followed_by_one_that_calls(live: Live) -> None:
    caller = echo(live)
    port = free_port()
    key = caller.post(INVOKE, {"payload": 1, "callbackUrl": f"http://127.0.0.1:{port}/"})["activationId"]
    until(lambda: caller.get(f"/activations/{key}")["status"] == "COMPLETE", "it ends")
    live.kill_owner()
    with receiving(port=port) as receiver:
        live.ok("tasks", "list")
        (call,) = receiver.wait(1)
        assert (call.record["activationId"], call.record["status"]) == (key, "COMPLETE")
        until(lambda: open_ones(live) == [], "it is delivered")


def test_an_owner_killed_while_it_is_answered_calls_again(live: Live, receiver: Receiver) -> None:
    caller = echo(live)
    receiver.hold.clear()
    caller.post(INVOKE, {"payload": 1, "callbackUrl": receiver.url})
    receiver.wait(1)
    live.kill_owner()
    receiver.hold.set()
    live.ok("tasks", "list")
    first, second = receiver.wait(2)
    assert first.record == second.record
    until(lambda: open_ones(live) == [], "it is delivered")


def test_an_owner_killed_while_the_activation_runs_calls_after_its_end(live: Live, receiver: Receiver) -> None:
    live.skill("held", HELD)
    gate = live.gate("gate")
    params = json.dumps({"payload": 1, "callbackUrl": receiver.url})
    key = live.ok("skills", "invoke", "held", "--params", params, "--detach").out.strip()
    assert [(item["activationId"], item["state"]) for item in open_ones(live)] == [(key, "waiting")]
    live.kill_owner()
    live.ok("tasks", "list")
    assert receiver.calls == []
    live.release(gate)
    assert receiver.wait(1)[0].record["status"] == "COMPLETE"


def test_an_idle_owner_ends_only_after_its_callbacks(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "0.1"
    live.skill("echo", ECHO)
    with receiving(500, 500) as receiver:
        live.ok("skills", "invoke", "echo", "--params", json.dumps({"payload": 1, "callbackUrl": receiver.url}))
        receiver.wait(3)
        until(lambda: live.address() is None, "the owner ends")
        assert open_ones(live) == []


def test_addresses_that_are_not_allowed_are_refused_and_nothing_runs(live: Live, receiver: Receiver) -> None:
    caller = echo(live)
    before = len(caller.get("/activations")["activations"])
    for url in (
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://0.0.0.0/",
        "http://2130706434/",
        "file:///etc/passwd",
        f"http://user:secret@127.0.0.1:{receiver.port}/",
        "http://no-such-host.invalid/",
        "x" * 3000,
    ):
        for body in ({"callbackUrl": url}, {"properties": {"callbackUrl": url}}):
            said = caller.refused(400, "POST", PROJECT + INVOKE, json.dumps({"payload": 1, **body}).encode())
            assert "secret" not in said
    scheduled = json.dumps({"payload": 1, "callbackUrl": receiver.url}).encode()
    assert "schedule" in caller.refused(400, "POST", f"{PROJECT}{INVOKE}?scheduleCron=@daily", scheduled)
    both = {"payload": 1, "callbackUrl": receiver.url, "properties": {"callbackUrl": receiver.url + "2"}}
    assert "different values" in caller.refused(400, "POST", PROJECT + INVOKE, json.dumps(both).encode())
    caller.refused(400, "POST", PROJECT + INVOKE, json.dumps({"payload": 1, "callbackUrl": 5}).encode())
    assert len(caller.get("/activations")["activations"]) == before
    assert receiver.calls == []


def test_by_default_no_address_of_this_machine_is_called(live: Live, receiver: Receiver) -> None:
    del live.environment["FABRIC_JOBS_CALLBACKS"]
    caller = echo(live)
    body = json.dumps({"payload": 1, "callbackUrl": receiver.url}).encode()
    assert "does not call back 127.0.0.1" in caller.refused(400, "POST", PROJECT + INVOKE, body)


def test_an_address_that_is_not_allowed_any_more_is_not_called(live: Live, receiver: Receiver) -> None:
    live.skill("held", HELD)
    gate = live.gate("gate")
    params = json.dumps({"payload": 1, "callbackUrl": receiver.url})
    live.ok("skills", "invoke", "held", "--params", params, "--detach")
    live.kill_owner()
    live.environment["FABRIC_JOBS_CALLBACKS"] = "none"
    live.ok("tasks", "list")
    live.release(gate)
    until(lambda: "does not call back" in str(open_ones(live)), "it is refused")
    assert receiver.calls == []


def test_a_wrong_setting_ends_serve_with_its_name(live: Live) -> None:
    live.environment["FABRIC_JOBS_CALLBACKS"] = "http://x"
    assert "FABRIC_JOBS_CALLBACKS" in live.fails(2, "serve")


def test_each_project_has_a_key_of_its_own_that_stays(live: Live) -> None:
    key = live.ok("callbacks", "key").out
    live.kill_owner()
    assert live.ok("callbacks", "key").out == key
    caller = Caller(live)
    other = json.loads(caller.call("GET", f"{make_project(caller, 'other')}/callbacks/key").body)["key"]
    assert (len(other), other == key.strip()) == (64, False)
    reader = make_token(caller, "runs", "run").jwt()
    caller.refused(403, "GET", f"{PROJECT}/callbacks/key", token=reader)
    Caller(live).refused(401, "GET", f"{PROJECT}/callbacks/key", token="wrong")

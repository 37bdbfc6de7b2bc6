"""Bad tokens: a clear 401, and no other effect."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from typing import Any

from fabric_jobs.engine import tokens
from tests.acceptance.live import Live
from tests.gateway.other_user import SOMEBODY, as_user, needs_another_user
from tests.gateway.test_jobs import Job, held, refused

__all__ = ["held"]


def part(value: Any) -> str:
    """Return a part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_tokens_of_tasks_that_are_not_good(held: Live) -> None:
    job = Job(held)
    token = job.message["token"]
    header, body, mac = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    with sqlite3.connect(held.state / "state.db") as database:
        (text,) = database.execute("select value from settings where key = 'key'").fetchone()
    database.close()
    key = bytes.fromhex(text)
    bad = {
        "missing": "",
        "no JWT": "nonsense",
        "two parts": f"{header}.{body}",
        "no signature": f"{header}.{body}.",
        "alg none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "alg none, signed": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.{mac}",
        "other claims": f"{header}.{part({**claims, 'task': claims['task'] + 1})}.{mac}",
        "other key": tokens.sign(claims, b"another key"),
        "expired": tokens.sign(claims, key, lifetime_seconds=-60),
        "the user's": held.published().token,
    }
    record = f"messages/{job.message['activationId']}/{job.message['channelId']}/response"
    for what, given in bad.items():
        for method, path, data in (
            ("GET", f"attempts/{job.attempt}/pull", b""),
            ("POST", f"attempts/{job.attempt}/commit", b"{}\n"),
            ("POST", record, b"1"),
        ):
            assert refused(job.call(method, path, data, token=given), 401), what
    assert job.out(held) == 0
    assert job.call("POST", record, b"1").status == 200
    assert job.out(held) == 1


def test_a_task_reaches_nothing_of_another_activation(held: Live) -> None:
    first, second = Job(held, "one"), Job(held, "two")
    theirs = second.message
    paths = [
        f"messages/{theirs['activationId']}/{theirs['channelId']}/response",
        f"messages/{first.message['activationId']}/{theirs['channelId']}/response",
        f"messages/{theirs['activationId']}/{first.message['channelId']}/response",
        f"messages/..%2f{theirs['activationId']}/{theirs['channelId']}/response",
    ]
    for path in paths:
        assert first.call("POST", path, b"1").status in (401, 404), path
    refused(first.call("GET", f"attempts/{second.attempt}/pull"), 401)
    refused(first.call("POST", f"attempts/{second.attempt}/commit", b"{}\n"), 401)
    assert second.out(held) == 0
    acknowledged = first.commit(acks=[[second.channel, 0, 1]])
    assert acknowledged.status in (400, 401, 409)
    assert second.pull() == (second.channel, 0, "two")


SPEAK = """
request = urllib.request.Request(sys.argv[1], sys.argv[3].encode() or None, {"Authorization": f"Bearer {sys.argv[2]}"})
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["message"])
"""


@needs_another_user
def test_a_token_that_another_user_saw_in_ps_is_of_no_use_to_them(held: Live) -> None:
    job = Job(held)
    message = job.message
    calls = {
        f"messages/{message['activationId']}/{message['channelId']}/response": '"forged"',
        f"attempts/{job.attempt}/pull": "",
        f"attempts/{job.attempt}/commit": "{}\n",
    }
    for path, body in calls.items():
        ran = as_user(SOMEBODY, SPEAK, f"{message['apiEndpoint']}/internal/{path}", message["token"], body)
        assert ran.stdout.startswith("401 the token of a task is taken from programs of this gateway's own user"), ran
    assert job.out(held) == 0
    path = f"messages/{message['activationId']}/{message['channelId']}/response"
    ran = as_user(os.getuid(), SPEAK, f"{message['apiEndpoint']}/internal/{path}", message["token"], "1")
    assert ran.stdout == "200\n", ran
    assert job.out(held) == 1


def test_a_token_dies_with_its_attempt(held: Live) -> None:
    job = Job(held)
    assert job.commit(acks=[[job.channel, 0, 1]]).status == 200
    held.release(held.root / "gate")
    held.wait(job.message["activationId"])
    refused(job.call("GET", f"attempts/{job.attempt}/pull"), 409)
    refused(job.commit(), 409)
    record = f"messages/{job.message['activationId']}/{job.message['channelId']}/response"
    refused(job.call("POST", record, b"1"), 409)

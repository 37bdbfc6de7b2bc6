"""Tokens that are not what they should be: a clear 401, and nothing else happens."""

from __future__ import annotations

import base64
import json
import sqlite3
from typing import Any

from fabric_jobs.engine import tokens
from tests.acceptance.live import Live
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

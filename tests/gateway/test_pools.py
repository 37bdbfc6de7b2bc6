"""The routes for pods of pools: who may call them, and with what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fabric_jobs.executors.kubernetes import pool_tokens
from fabric_jobs.gateway.openapi import document
from fabric_jobs.gateway.pools import OPERATIONS
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection
from tests.acceptance.live import Live

POOL = "0123456789abcdef"
WHO = {"pod": "fj-1", "instance": "i"}
BODIES: dict[str, dict[str, Any]] = {
    "take": {**WHO, "attempt": "", "grace": None},
    "ended": {**WHO, "attempt": "a-1", "code": 0},
    "cold": {**WHO, "why": "no"},
}


def call(live: Live, verb: str, body: dict[str, Any], *, token: str = "", pool: str = POOL) -> Answer:
    """Call a route as a pod does."""
    address = live.address()
    assert address is not None
    attempts = live.state / "attempts"
    token = token or pool_tokens.token_of(pool_tokens.secret_of(attempts), POOL)
    connection = Connection(address.socket, token)
    try:
        return connection.request("POST", f"/px/internal/pools/{pool}/{verb}", json.dumps(body).encode(), timeout=30)
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def _owner(live: Live) -> None:
    live.start("serve")
    live.published()


@pytest.mark.parametrize("verb", BODIES)
def test_only_the_token_of_the_pool_is_taken(live: Live, verb: str) -> None:
    address = live.address()
    assert address is not None
    other = pool_tokens.token_of(pool_tokens.secret_of(live.state / "attempts"), POOL[::-1])
    for token in ("x", address.token, other, "a.b.c"):
        assert call(live, verb, BODIES[verb], token=token).status == 401
    good = pool_tokens.token_of(pool_tokens.secret_of(live.state / "attempts"), POOL)
    for pool in ("..", "x", POOL.upper(), POOL + "0"):
        assert call(live, verb, BODIES[verb], token=good, pool=pool).status in (401, 404)


def test_the_document_names_the_token() -> None:
    found = document(OPERATIONS)
    assert {str(each["post"]["security"]) for each in found["paths"].values()} == {"[{'pool': []}]"}
    assert all("401" in each["post"]["responses"] for each in found["paths"].values())
    assert "pool" in found["components"]["securitySchemes"]


def test_without_pools_there_are_no_tokens(live: Live) -> None:
    assert call(live, "take", BODIES["take"], token="x").status == 401
    assert not (live.state / pool_tokens.FILE).exists()


@pytest.mark.parametrize(
    ("verb", "change"),
    [
        ("take", {"attempt": "../a"}),
        ("take", {"attempt": 1}),
        ("take", {"attempt": None}),
        ("take", {"grace": -1}),
        ("take", {"grace": "1"}),
        ("take", {"pod": "a/b"}),
        ("take", {"instance": ""}),
        ("ended", {"attempt": ""}),
        ("ended", {"attempt": ".."}),
        ("ended", {"attempt": "x" * 1000}),
        ("ended", {"code": 256}),
        ("ended", {"code": -1}),
        ("ended", {"code": True}),
        ("ended", {"code": None}),
        ("cold", {"why": 1}),
    ],
)
def test_bad_calls(live: Live, verb: str, change: dict[str, Any]) -> None:
    answer = call(live, verb, {**BODIES[verb], **change})
    assert answer.status == 400, answer
    assert json.loads(answer.body)["message"]


@pytest.mark.parametrize("verb", BODIES)
def test_a_gateway_without_a_cluster_says_to_try_again(live: Live, verb: str) -> None:
    assert call(live, verb, BODIES[verb]).status == 503

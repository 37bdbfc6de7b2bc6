"""Lists over HTTP: pages by key, and what is no key."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.live import PROJECT, Live, names
from tests.gateway.test_users import Caller

FAILS = "sys.exit(3)"
LISTS = (
    ("/activations", "activations", "activationId"),
    ("/tasks", "tasks", "name"),
    ("/deadletters", "deadLetters", "id"),
)


@pytest.fixture
def five(live: Live) -> Live:
    live.skill("fails", FAILS, onError="complete")
    for number in range(5):
        live.ok("skills", "invoke", "fails", "--params", f'{{"payload": 1, "activationId": "run_{number}+é"}}')
    return live


def test_pages_join_without_a_gap(five: Live) -> None:
    caller = Caller(five)
    for path, key, name in LISTS:
        whole = caller.get(path)
        assert whole["next"] is None
        for order in ("", "&sort=asc") if key != "deadLetters" else ("",):
            found: list[Any] = []
            cursor: str | None = ""
            while cursor is not None:
                page = caller.get(f"{path}?limit=2&cursor={quote(cursor)}{order}")
                found += names(page[key], name)
                cursor = page["next"]
            expected = names(whole[key], name)
            assert found == (expected[::-1] if order else expected)
            assert len(found) == 5


def test_what_is_no_cursor_is_refused(five: Live) -> None:
    caller = Caller(five)
    for path, _, _ in LISTS:
        for cursor in ("x", "1.5", "-1", "_", "nan_x", "1e999", "inf_x", "1_", "9" * 400):
            assert "cursor" in caller.refused(400, "GET", f"{PROJECT}{path}?cursor={cursor}")

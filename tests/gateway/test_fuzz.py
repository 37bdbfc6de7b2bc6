"""Made-up requests, good and bad, with a token of each role: no answer is a 5xx, and each agrees with `/openapi.json`."""

from __future__ import annotations

import pytest

from tests.acceptance.live import Live
from tests.gateway.fuzz import ROLES, run

REQUESTS = 250  # about; `python -m tests.gateway.fuzz` sends many more, and tests the limits of every schema too


@pytest.mark.parametrize("role", ROLES)
def test_answers_agree_with_the_document(live: Live, role: str) -> None:
    found = run(live, REQUESTS, seed=1, role=role, quick=True)
    assert found.code == 0, found.said
    assert found.requests >= REQUESTS // 2
    assert "Traceback" not in (live.state / "owner.log").read_text()

"""Made-up requests, good and bad: no answer is a 5xx, and each agrees with `/openapi.json`."""

from __future__ import annotations

from tests.acceptance.live import Live
from tests.gateway.fuzz import run

REQUESTS = 250  # about; `python -m tests.gateway.fuzz` sends many more, and tests the limits of every schema too


def test_answers_agree_with_the_document(live: Live) -> None:
    found = run(live, REQUESTS, seed=1, quick=True)
    assert found.code == 0, found.said
    assert found.requests >= REQUESTS // 2
    assert "Traceback" not in (live.state / "owner.log").read_text()

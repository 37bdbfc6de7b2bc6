"""References to variables in commands, as Kubernetes has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.runtime.cortex_worker.expansion import all_expanded, expanded

KNOWN = {"PORT": "41000", "EMPTY": "", "NESTED": "$(PORT)"}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("--port=$(PORT)", "--port=41000"),
        ("$(PORT)$(PORT)", "4100041000"),
        ("$(EMPTY)x", "x"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(PORT)", "$(PORT)"),
        ("$$$(PORT)", "$41000"),
        ("$$PORT costs $5", "$PORT costs $5"),
        ("$PORT ${PORT} $(PORT", "$PORT ${PORT} $(PORT"),
        ("$(ls -l)", "$(ls -l)"),
        ("$(NESTED)", "$(PORT)"),
    ],
)
def test_references(text: str, becomes: str) -> None:
    assert expanded(text, KNOWN) == becomes


@given(st.text(alphabet="$()AB ", max_size=20))
def test_without_variables_only_escapes_change(text: str) -> None:
    found = expanded(text, {})
    assert found.replace("$", "") == text.replace("$", "")
    if "$$" not in text:
        assert found == text


def test_a_variable_refers_to_those_before_it() -> None:
    own = {"URL": "http://localhost:$(PORT)", "AGAIN": "$(URL)/x", "EARLY": "$(LATE)", "LATE": "1"}
    assert all_expanded({"PORT": "1"}, own) == {
        "PORT": "1",
        "URL": "http://localhost:1",
        "AGAIN": "http://localhost:1/x",
        "EARLY": "$(LATE)",
        "LATE": "1",
    }

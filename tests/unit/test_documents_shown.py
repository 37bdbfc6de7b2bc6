"""Definitions as a gateway shows and stores them."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.documents.shown import SERVER_KEYS, as_stored, with_parameters

SOME = [{"name": "a", "type": "string"}]


@pytest.mark.parametrize("kept", [
    {"name": "x"},
    {"name": "x", "inputs": []},
    {"name": "x", "inputs": [{"name": "in"}, {"name": "other", "parameters": SOME}]},
])  # fmt: skip
def test_what_is_saved_as_it_was_shown_is_what_was_kept(kept: dict[str, Any]) -> None:
    shown = with_parameters(kept)
    assert as_stored({**shown, **dict.fromkeys(SERVER_KEYS, "x")}) == kept
    assert with_parameters(shown) == shown
    assert all("parameters" in port for port in shown.get("inputs", ()))

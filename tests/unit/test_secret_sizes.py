"""How large the Secret of an attempt may be."""

from __future__ import annotations

import base64

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.kubernetes.making import FETCH, KEEP, check_size
from fabric_jobs.executors.kubernetes.manifest import MOST_BYTES


def secret(text: int, file: int) -> dict[str, dict[str, str]]:
    return {"stringData": {"order.json": "é" * (text // 2)}, "data": {"file": base64.b64encode(bytes(file)).decode()}}


def test_the_bytes_of_its_values_count_and_not_their_form_in_a_request() -> None:
    check_size(secret(100_000, MOST_BYTES - 100_000))
    with pytest.raises(InvalidInput, match="have 900,001 bytes; a Secret may have 900,000"):
        check_size(secret(100_000, MOST_BYTES - 99_999))


@pytest.mark.parametrize("hint", [FETCH, KEEP])
def test_what_to_do_depends_on_the_attempt(hint: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        check_size(secret(0, MOST_BYTES + 1), hint)
    assert raised.value.hint == hint

"""Tokens of tasks."""

from __future__ import annotations

import base64
import json

import pytest

from fabric_jobs.engine import tokens
from fabric_jobs.errors import NotAllowed

KEY = b"k" * 32
CLAIMS = {"sub": "ann", "aud": "local", "task": 7, "attempt": 2}


def test_what_was_signed_is_verified() -> None:
    claims = tokens.verify(tokens.sign(CLAIMS, KEY), KEY)
    assert {key: claims[key] for key in CLAIMS} == CLAIMS


def test_it_is_a_jwt_of_three_parts() -> None:
    header, body, mac = tokens.sign(CLAIMS, KEY).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(body + "=="))["sub"] == "ann"
    assert "=" not in header + body + mac


def test_another_key_is_refused() -> None:
    with pytest.raises(NotAllowed, match="not signed by this gateway"):
        tokens.verify(tokens.sign(CLAIMS, KEY), b"other")


def test_an_old_token_is_refused() -> None:
    with pytest.raises(NotAllowed, match="expired"):
        tokens.verify(tokens.sign(CLAIMS, KEY, lifetime_seconds=-1), KEY)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "ä.ö.ü", "Bearer x", tokens.HEADER, f"{tokens.HEADER}.e30.", "\0"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(NotAllowed):
        tokens.verify(token, KEY)


def test_a_token_with_other_claims_and_the_old_signature_is_refused() -> None:
    header, _, mac = tokens.sign(CLAIMS, KEY).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**CLAIMS, "task": 8, "exp": 1e12}).encode()).rstrip(b"=").decode()
    with pytest.raises(NotAllowed):
        tokens.verify(f"{header}.{body}.{mac}", KEY)


def test_a_token_without_a_signature_algorithm_is_refused() -> None:
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    _, body, mac = tokens.sign(CLAIMS, KEY).split(".")
    for token in (f"{none}.{body}.", f"{none}.{body}.{mac}"):
        with pytest.raises(NotAllowed):
            tokens.verify(token, KEY)

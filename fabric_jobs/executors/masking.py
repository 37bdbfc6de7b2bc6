"""Hides tokens in displayed output. A shell begins its errors with "$0", which may be the message."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?")
REST = re.compile(r"\A[\w.-]{16,}")  # the rest of a token whose beginning is cut off


def masked(text: str, *, is_cut: bool = False) -> str:
    """Return a text without tokens. `is_cut`: its beginning is missing, perhaps in the middle of a token."""
    return TOKEN.sub("***", REST.sub("", text) if is_cut else text)

"""Conditions and ranges of a GET: which bytes of content a request wants (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping

RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})")


def is_unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Tell whether the caller has these bytes already, as its If-None-Match says."""
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]


def range_of(headers: Mapping[str, str], etag: str, size: int) -> range | None:
    """Return the bytes that a request wants, an empty range if there are none there; None for all.

    Several ranges, other units and a range of other bytes (If-Range) count as all, as RFC 9110 allows.
    """
    found = RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or found[1] == found[2] == "" or headers.get("if-range", etag) != etag:
        return None
    if not found[1]:
        return range(max(0, size - int(found[2])), size)
    first, last = int(found[1]), int(found[2] or size)
    if found[2] and last < first:
        return None
    return range(first, min(last + 1, size)) if first < size else range(0)

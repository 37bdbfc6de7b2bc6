"""Counts what this process has asked of clusters."""

from __future__ import annotations

from collections import Counter

ASKED: Counter[str] = Counter()  # requests by method; a watch is one

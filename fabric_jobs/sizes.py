"""Sizes and amounts as people type and read them: `500kB`, `1.5GB`, `10MiB`."""

from __future__ import annotations

import re

POWERS = " KMGTPE"  # of 1000, or with an `i` of 1024
LARGEST = 2**53  # bytes; exact in JSON in every language
TYPED = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTPE])(I)?)?B?", re.IGNORECASE)


def bytes_of(text: str) -> int:
    """Return the bytes of a size; raise ValueError, which says what to write, for any other text."""
    found = TYPED.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is not a size; write it like 500kB, 10GB or 1.5GiB.")
    unit: int = (1024 if found[3] else 1000) ** POWERS.index((found[2] or " ").upper())
    return round(min(float(found[1]) * unit, LARGEST))


def processors_of(text: str) -> float:
    """Return the processors of an amount as Kubernetes spells it, such as `500m` or `2`; 0 for an empty one."""
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text or 0)


def spelled(count: float) -> str:
    """Return bytes in a few figures, such as `512B`, `1.4MB` or `20.0GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f}B" if unit == "B" else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.1f}TB"

"""Durations as people type and read them: `90s`, `2h30m`, `2w`."""

from __future__ import annotations

import re

UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}  # largest first, as in a written duration
LONGEST = 1e12  # seconds; far beyond any clock
TYPED = re.compile("".join(rf"(?:(\d+(?:\.\d+)?)\s*{unit}\s*)?" for unit in UNITS), re.IGNORECASE)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration; raise ValueError, which says what to write, for any other text."""
    found = TYPED.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"'{text}' is not a duration; write it like 90s, 2h30m, 30d or 2w.")
    return min(
        sum(float(count or 0) * size for count, size in zip(found.groups(), UNITS.values(), strict=True)), LONGEST
    )


def spelled(seconds: float) -> str:
    """Return a duration exactly, such as `0.05s`, `2h30m` or `30d`."""
    parts = []
    for unit, size in list(UNITS.items())[1:]:  # weeks are only for input: 30 days as 4w2d is hard to read
        count, seconds = (seconds, 0.0) if unit == "s" else divmod(seconds, size)
        parts += [f"{count:g}{unit}"] if count else []
    return "".join(parts) or "0s"


def measured(seconds: float) -> str:
    """Return how long something took, rounded, in at most two units: `0.4s`, `3m20s`, `2h5m`."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    step = 1 if seconds < 3600 else 60 if seconds < 86_400 else 3600
    return spelled(round(seconds / step) * step)

"""Finds the record that killed a stream without a trace, by where later attempts die. Pure.

The first death may have an outside cause, so the next attempt runs at full speed. After the second death, the suspects are
handed out in steps of about the square root of their number, and each step is noted first. The attempt that dies in a step
leaves only that step's suspects, and the next one finds the record. So two more attempts find one record among any number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt


@dataclass(frozen=True)
class Suspects:
    """Some records of one channel, one of which may have killed the program."""

    first: int
    end: int
    step: int  # how many are handed out at a time; 0: at full speed


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is known after another death."""

    careful: str  # the column of that name, for the next attempt
    record: tuple[int, int] | None = None  # channel and offset of the record, once it is found
    is_narrowing: bool = False  # another attempt would narrow it further


def read(careful: str) -> dict[int, Suspects]:
    """Return the suspects in the column `careful` of a task, by channel; older rows have only their ends."""
    return {
        int(key): Suspects(*value) if isinstance(value, list) else Suspects(0, value, 1)
        for key, value in json.loads(careful).items()
    }


def after_death(careful: str, left_at: str | None, progress: Mapping[int, tuple[int, int]]) -> Found:
    """Return what is known after an attempt died at `left_at`: a record, a step [channel, first, end], or None.

    `progress` has, for each input channel, how far it is acknowledged and where it ends.
    """
    known = read(careful)
    if left_at is not None:
        channel, first, *end = json.loads(left_at)
        if end:
            return Found(careful=_text({channel: Suspects(first, end[0], 1)}), is_narrowing=True)
        if any(suspects.step for suspects in known.values()):
            careful = _text({channel: Suspects(first, first + 1, 1)})
        return Found(careful=careful, record=(channel, first))
    open_ones = {key: (acked, end) for key, (acked, end) in progress.items() if acked < end}
    is_first = all(progress.get(key, (suspects.end, 0))[0] >= suspects.end for key, suspects in known.items())
    if is_first:
        return _found({key: Suspects(acked, end, 0) for key, (acked, end) in open_ones.items()})
    if all(suspects.step == 0 for suspects in known.values()):
        return _found({key: Suspects(acked, end, isqrt(end - acked)) for key, (acked, end) in open_ones.items()})
    return Found(careful=careful)  # it died outside any step: no suspect did it


def _found(suspects: Mapping[int, Suspects]) -> Found:
    return Found(careful=_text(suspects), is_narrowing=bool(suspects))


def _text(suspects: Mapping[int, Suspects]) -> str:
    return json.dumps({str(key): [each.first, each.end, each.step] for key, each in suspects.items()})

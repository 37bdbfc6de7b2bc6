"""The `$deadLetters` of an expected.json: how many records become dead letters, and perhaps which ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.names import nearest
from fabric_jobs.workspace.compare import ABSENT, Difference, differences

DEAD_LETTERS = "$deadLetters"
SKILL, REASON, PAYLOAD = "skill", "reason", "payload"
KEYS = (SKILL, REASON, PAYLOAD)
EXAMPLE = (
    f'For example {{"{DEAD_LETTERS}": 1}}, or {{"{DEAD_LETTERS}": [{{"skill": "score", "payload": {{"id": 7}}}}]}}.'
)


@dataclass(frozen=True, kw_only=True)
class ExpectedLetters:
    """The dead letters that a run should leave."""

    count: int
    each: tuple[Mapping[str, Any], ...] = ()  # the conditions for each; empty if they are only counted
    value: Any  # as in expected.json

    def differences(self, count: int, letters: Sequence[Mapping[str, Any]]) -> tuple[Difference, ...]:
        """Return how the dead letters of a run differ, in any order; `letters` may be empty if they are only counted."""
        if not self.each:
            return () if count == self.count else (Difference(path="deadLetters", expected=self.count, actual=count),)
        left = list(letters)
        missing = []
        # The most specific condition chooses first, so that a general one does not take the letter that it needs.
        for index, wanted in sorted(enumerate(self.each), key=lambda item: -len(item[1])):
            found = next((letter for letter in left if _fits(wanted, letter)), None)
            if found is None:
                missing.append((index, wanted))
            else:
                left.remove(found)
        return (
            *(Difference(path=f"deadLetters[{at}]", expected=wanted, actual=ABSENT) for at, wanted in sorted(missing)),
            *(Difference(path="deadLetters", expected=ABSENT, actual=_shown(letter)) for letter in left),
        )


def read_letters(value: Any, where: str) -> ExpectedLetters:
    """Return the expectation in the value of `$deadLetters`; raise InvalidInput if it is meaningless."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return ExpectedLetters(count=value, value=value)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise InvalidInput(f"'{DEAD_LETTERS}' in {where} is neither a number nor a list of objects.", hint=EXAMPLE)
    for item in value:
        for key, wanted in item.items():
            if key not in KEYS:
                raise InvalidInput(f"'{DEAD_LETTERS}' in {where} has no '{key}'.", hint=nearest(key, KEYS) or EXAMPLE)
            if key != PAYLOAD and not isinstance(wanted, str):
                raise InvalidInput(f"'{key}' of '{DEAD_LETTERS}' in {where} is not a text.", hint=EXAMPLE)
    return ExpectedLetters(count=len(value), each=tuple(value), value=value)


def _fits(wanted: Mapping[str, Any], letter: Mapping[str, Any]) -> bool:
    return (
        wanted.get(SKILL, letter["skillName"]) == letter["skillName"]
        and wanted.get(REASON, "") in letter["cause"]
        and (PAYLOAD not in wanted or not differences(wanted[PAYLOAD], letter["payload"]))
    )


def _shown(letter: Mapping[str, Any]) -> dict[str, Any]:
    return {SKILL: letter["skillName"], REASON: letter["cause"], PAYLOAD: letter["payload"]}

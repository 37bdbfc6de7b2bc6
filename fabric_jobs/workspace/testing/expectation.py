"""The expectation in an expected.json: a response, a subset of one, or a failure; and the dead letters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.names import nearest
from fabric_jobs.workspace.compare import Difference, differences, fitted
from fabric_jobs.workspace.testing.expected_letters import DEAD_LETTERS, ExpectedLetters, read_letters

EXACT, SUBSET, ERROR = "$exact", "$subset", "$error"
KINDS = (EXACT, SUBSET, ERROR)
WORDS = (*KINDS, DEAD_LETTERS)
# Keys of $error: two must be equal to the facts, two are texts that the messages must contain.
EQUAL_KEYS = ("skill", "exitCode")
TEXT_KEYS = ("reason", "lastLines")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The expected result of a run."""

    kind: str  # one of KINDS
    value: Any
    letters: ExpectedLetters | None = None  # None: no record may become a dead letter

    @property
    def is_failure(self) -> bool:
        """Whether the run should fail."""
        return self.kind == ERROR

    def of_response(self, response: Any) -> tuple[Difference, ...]:
        """Return where a response differs from the expected one."""
        return differences(self.value, response, subset=self.kind == SUBSET)

    def of_failure(self, record: Mapping[str, Any]) -> tuple[Difference, ...]:
        """Return where the failure of an activation differs from the expected one."""
        error = record.get("error") or {}
        reason = error.get("reason") or record.get("cause") or ""
        facts = {**error, "reason": reason, "lastLines": "\n".join(error.get("lastLines") or ())}
        return tuple(
            Difference(path=f"error.{key}", expected=value, actual=facts.get(key))
            for key, value in self.value.items()
            if (value not in facts[key] if key in TEXT_KEYS else value != facts.get(key))
        )

    def renewed(self, response: Any) -> Expectation:
        """Return an expectation of the same kind that a response meets; a subset keeps its keys."""
        value = fitted(self.value, response) if self.kind == SUBSET else response
        return replace(self, value=value)

    def text(self) -> str:
        """Return the text of an expected.json; a response goes into `$exact` only if it would be ambiguous."""
        document = {self.kind: self.value}
        if self.letters is not None:
            document[DEAD_LETTERS] = self.letters.value
        elif self.kind == EXACT and not _has_word(self.value):
            document = self.value
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_expectation(document: Any, where: str) -> Expectation:
    """Return the expectation in the JSON value of an expected.json; raise InvalidInput if it is meaningless."""
    if not _has_word(document):
        return Expectation(kind=EXACT, value=document)
    word = next((key for key in document if key not in WORDS), "")
    if word:
        hint = f'{nearest(word, WORDS)} To expect such a response, write {{"{EXACT}": …}}.'
        raise InvalidInput(f"{where} begins with '{word}', which is unknown.", hint=hint)
    kinds = [key for key in document if key in KINDS]
    if len(kinds) > 1:
        raise InvalidInput(f"{where} has both '{kinds[0]}' and '{kinds[1]}'.", hint="Leave one of them.")
    kind, value = (kinds[0], document[kinds[0]]) if kinds else (EXACT, None)
    if kind == ERROR:
        _check_error(value, where)
    letters = read_letters(document[DEAD_LETTERS], where) if DEAD_LETTERS in document else None
    return Expectation(kind=kind, value=value, letters=letters)


def _has_word(document: Any) -> bool:
    """Tell whether a document is more than a response: it has one key, with a `$`, or several with `$deadLetters`."""
    if not isinstance(document, dict) or not document or not all(key.startswith("$") for key in document):
        return False
    return len(document) == 1 or DEAD_LETTERS in document


def _check_error(value: Any, where: str) -> None:
    example = f'For example {{"{ERROR}": {{"exitCode": 1, "lastLines": "a text of the last lines"}}}}.'
    if not isinstance(value, dict):
        raise InvalidInput(f"the value of '{ERROR}' in {where} is not an object.", hint=example)
    for key, wanted in value.items():
        if key not in (*EQUAL_KEYS, *TEXT_KEYS):
            raise InvalidInput(f"'{ERROR}' in {where} has no '{key}'.", hint=nearest(key, (*EQUAL_KEYS, *TEXT_KEYS)))
        if key != "exitCode" and not isinstance(wanted, str):
            raise InvalidInput(f"'{key}' of '{ERROR}' in {where} is not a text.", hint=example)

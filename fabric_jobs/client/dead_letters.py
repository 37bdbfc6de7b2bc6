"""Dead letters by their numbers, or by what they have in common."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fabric_jobs.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

SHORTEST = 4  # digits that may be the beginning of a number
TOGETHER = 10_000  # at most this many are listed


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What the wanted dead letters have in common."""

    activation: str | None = None
    skill: str | None = None
    contains: str | None = None  # text in their cause
    retried: bool | None = None  # whether they are being retried; None: either

    @property
    def is_given(self) -> bool:
        """Whether it has a condition other than `retried`."""
        return any((self.activation, self.skill, self.contains))


def list_letters(gateway: Gateway, filtered: Filter, *, limit: int = TOGETHER) -> tuple[list[dict[str, Any]], int]:
    """Return the first dead letters that match a filter, and how many match."""
    query = {"activationId": filtered.activation, "skillName": filtered.skill, "contains": filtered.contains}
    retried = None if filtered.retried is None else str(filtered.retried).lower()
    answer = gateway.get("/deadletters", **query, retried=retried, limit=limit)
    return answer["deadLetters"], answer["count"]


def chosen(gateway: Gateway, numbers: Iterable[int], filtered: Filter, *, every: bool) -> list[int]:
    """Return the given numbers, else those of the filter; raise InvalidInput unless exactly one way of choosing is used."""
    given = list(dict.fromkeys(_whole(gateway, number) for number in numbers))
    if (bool(given), every, filtered.is_given).count(True) != 1:
        raise InvalidInput(
            "name dead letters by their numbers, or choose them by a filter, or take --all.",
            hint="List them with `fabric-jobs deadletters list`.",
        )
    return given or [letter["id"] for letter in list_letters(gateway, filtered)[0]]


def _whole(gateway: Gateway, number: int) -> int:
    """Return the number that begins with these digits; the same if none does, or they are too few."""
    if len(str(number)) < SHORTEST:
        return number
    try:
        return int(find_letter(gateway, number)["id"])
    except NotFound:
        return number


def find_letter(gateway: Gateway, number: int) -> dict[str, Any]:
    """Return a dead letter; raise NotFound."""
    found: dict[str, Any] = gateway.get(f"/deadletters/{number}")["deadLetter"]
    return found


def retry(gateway: Gateway, numbers: list[int]) -> list[str]:
    """Retry dead letters, with the environment of this process; return the ids of the new activations."""
    body: dict[str, Any] = {"ids": numbers, "requestId": secrets.token_hex(12)}
    if gateway.is_local:
        from fabric_jobs.shell import SHELL, own_shell  # late: not needed for a remote gateway

        body[SHELL] = own_shell().document()
    return [entry["activationId"] for entry in gateway.post("/deadletters/retry", body)["activations"]]


def drop(gateway: Gateway, number: int) -> bool:
    """Delete a dead letter; return whether it existed."""
    return bool(json.loads(gateway.raw("DELETE", f"/deadletters/{number}").body)["dropped"])

"""Retries dead letters in a new activation, with `retry_of`, that begins at the input where they failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from fabric_jobs.engine.invoke import Beginning, start
from fabric_jobs.engine.plans import Plans
from fabric_jobs.errors import InvalidInput
from fabric_jobs.records import DeadLetter
from fabric_jobs.routing import Plan
from fabric_jobs.store import Store, Tx, activations, channels, dead_letters
from fabric_jobs.store.activations import NewActivation
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.sql import Sql


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The dead letters that one new activation retries."""

    new: NewActivation
    plan: Plan
    letters: tuple[DeadLetter, ...]


def retries_of(sql: Sql, plans: Plans, letters: Sequence[DeadLetter], request_id: str) -> list[Retry]:
    """Return one retry for each activation and node that dead letters come from.

    The ids of the new activations derive from `request_id`, so a repeated request starts them once.
    """
    groups: dict[tuple[str, str], list[DeadLetter]] = {}
    for letter in letters:
        channel = channels.find(sql, letter.channel_id)
        assert channel is not None, "a channel outlives its dead letters"
        groups.setdefault((letter.activation_id, channel.node), []).append(letter)
    return [
        _retry(sql, plans, activation_id, node, tuple(found), request_id)
        for (activation_id, node), found in groups.items()
    ]


def _retry(
    sql: Sql, plans: Plans, activation_id: str, node: str, letters: tuple[DeadLetter, ...], request_id: str
) -> Retry:
    before = activations.find(sql, activation_id)
    assert before is not None, "an activation outlives its dead letters"
    digest = blake2b(f"{request_id}\0{activation_id}\0{node}".encode(), digest_size=12).hexdigest()
    new = NewActivation(
        activation_id=digest,
        project_id=before.project_id,
        kind=before.kind,
        name=before.name,
        entry=before.entry,
        pins=before.pins,
        payload=activations.payload(sql, activation_id),
        properties=before.properties,
        headers=before.headers,
        session_id=before.session_id,
        correlation_id=before.correlation_id,
        username=before.username,
        workspace=before.workspace,
        executor=before.executor,
        cold=before.cold,
        retry_of=activation_id,
        start_node=node,
    )
    return Retry(new=new, plan=plans.of(sql, before).beginning_at(node), letters=letters)


def retry(store: Store, plans: Plans, wanted: Retry, beginning: Beginning) -> str:
    """Start the activation of a retry and return its id; raise InvalidInput when another one retries one of the letters."""
    plans.keep(wanted.new.activation_id, wanted.plan)
    payloads = b"".join(dead_letters.payload(store.read, letter.dead_letter_id) + b"\n" for letter in wanted.letters)
    records = Sent(output="", count=len(wanted.letters), bytes=payloads)
    return store.write(lambda tx: _start(tx, wanted, records, beginning)).result()


def claim(tx: Tx, letters: Sequence[DeadLetter], activation_id: str) -> None:
    """Note that an activation retries dead letters; raise InvalidInput when another one does, or one is gone."""
    for letter in letters:
        if not dead_letters.retried(tx, letter, activation_id):
            now = dead_letters.find(tx, letter.project_id, letter.dead_letter_id)
            if now is None or now.retried_as != activation_id:
                other = f"is already retried by activation '{now.retried_as}'" if now else "is gone"
                raise InvalidInput(
                    f"dead letter {letter.dead_letter_id} {other}.",
                    hint="See `fabric-jobs activations show`; if it failed again, that activation has a dead letter.",
                )


def _start(tx: Tx, wanted: Retry, records: Sent, beginning: Beginning) -> str:
    claim(tx, wanted.letters, wanted.new.activation_id)
    return start(tx, wanted.new, wanted.plan, records, beginning)

"""Starts activations: rows, channels and the first record in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from fabric_jobs.engine.existing import ATTACH, RETRY, existing
from fabric_jobs.engine.place import place_of
from fabric_jobs.engine.plans import Plans
from fabric_jobs.engine.settle import settle
from fabric_jobs.routing import JOIN, SOURCE, Plan, sending_id
from fabric_jobs.shell import Shell
from fabric_jobs.store import Store, Tx, activations, channels
from fabric_jobs.store.activations import NewActivation
from fabric_jobs.store.channels import NewChannel, Sender
from fabric_jobs.store.sent import Sent


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What a caller asks for."""

    project_id: str
    kind: str  # agent | skill
    name: str
    entry: str  # the service, or the input
    payload: bytes  # JSON text without newlines
    activation_id: str = ""  # the caller's own id: invoking twice starts one activation
    key: str = ""  # the caller's name for this invocation, for `if_exists`
    if_exists: str = RETRY  # see `engine.existing`
    properties: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # of the request; those in `allowedHeaders` are kept
    session_id: str = ""  # empty: the activation's id
    correlation_id: str = ""
    username: str = "local"
    workspace: str = ""
    executor: str = "local"  # the kind of place its attempts run in
    shell: Shell | None = field(default=None, repr=False)  # of the invoking command; kept in memory only
    cold: bool = False  # no warm starts, whatever the actions say
    invoker: str = ""  # the invoking attempt, `<task_id>-<attempt>`; empty: none
    callback_url: str = ""  # where its record is posted at its end
    pins: Mapping[str, Any] | None = None  # versions, as those of an activation; None: the newest
    is_placed: bool = True  # the caller named the place; else published skills run from images


@dataclass(frozen=True, kw_only=True)
class Invoked:
    """What an invocation has led to."""

    activation_id: str
    attached: bool = False  # the activation was there before


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What the transaction that starts an activation asks and does."""

    allows: Callable[[Tx], bool]  # whether it runs now or waits for its turn
    begin: Callable[[Tx, str, Plan], None]  # make its first tasks
    check: Callable[[str, Plan], None]  # raise InvalidInput if a plan cannot run in a project; asked before


def invoke(store: Store, plans: Plans, wanted: Invocation, beginning: Beginning) -> Future[Invoked]:
    """Start an activation, or attach to the one with this key or id; the future holds which, once that is stored.

    Raises as `prepared` does.
    """
    return store.write(prepared(store, plans, wanted, beginning))


def prepared(store: Store, plans: Plans, wanted: Invocation, beginning: Beginning) -> Callable[[Tx], Invoked]:
    """Return what starts an activation in a transaction; it raises AlreadyExists as `engine.existing` does.


    Raises NotFound for an unknown skill, agent, service or input; InvalidInput for one that this version cannot run. The future
    raises AlreadyExists as `engine.existing` does.
    """
    pins = dict(wanted.pins or plans.pins(store.read, wanted.project_id, wanted.kind, wanted.name))
    plan = plans.compile(store.read, wanted.project_id, pins, wanted.entry, wanted.properties)
    beginning.check(wanted.project_id, plan)
    executor = wanted.executor
    if not wanted.is_placed:
        executor = place_of(store.read, wanted.project_id, pins, plan, executor)
    activation_id = wanted.activation_id or secrets.token_hex(12)
    given = {name.lower(): value for name, value in wanted.headers.items()}
    new = NewActivation(
        activation_id=activation_id,
        project_id=wanted.project_id,
        kind=wanted.kind,
        name=wanted.name,
        entry=wanted.entry,
        pins=pins,
        payload=wanted.payload,
        properties=dict(wanted.properties),
        headers={name: given[name.lower()] for name in plan.headers if name.lower() in given},
        session_id=wanted.session_id or activation_id,
        correlation_id=wanted.correlation_id or activation_id,
        username=wanted.username,
        workspace=wanted.workspace,
        executor=executor,
        cold=wanted.cold,
        callback_url=wanted.callback_url,
        key=wanted.key,
    )
    first = Sent(output="", count=1, bytes=wanted.payload + b"\n")

    def operation(tx: Tx) -> Invoked:
        found = existing(tx, new, wanted.if_exists)
        if found is not None:
            return Invoked(activation_id=found.activation_id, attached=True)
        plans.keep(activation_id, plan)  # not before: an existing activation has the plan that it started with
        _start(tx, new, plan, first, beginning)
        return Invoked(activation_id=activation_id)

    return operation


def start(tx: Tx, new: NewActivation, plan: Plan, records: Sent, beginning: Beginning) -> str:
    """Insert an activation with its channels and first records, unless it exists, and make its first tasks; return its id.

    Raises AlreadyExists when the id belongs to a different invocation.
    """
    if existing(tx, new, ATTACH) is None:
        _start(tx, new, plan, records, beginning)
    return new.activation_id


def _start(tx: Tx, new: NewActivation, plan: Plan, records: Sent, beginning: Beginning) -> None:
    lay_out(tx, new, plan, beginning, is_whole=True)
    sender = Sender(activation_id=new.activation_id, sending_id=sending_id(new.activation_id, SOURCE))
    channels.append(tx, sender, records)
    if not plan.nodes or any(wire.conditions for wire in plan.wires if wire.source == SOURCE):
        settle(tx, new.activation_id, plan)  # the input may lead straight to the output, or nowhere
    if plan.nodes:
        beginning.begin(tx, new.activation_id, plan)


def lay_out(tx: Tx, new: NewActivation, plan: Plan, beginning: Beginning, *, is_whole: bool) -> None:
    """Insert an activation with its channels. `is_whole`: the input will have no records but those of this transaction."""
    admitted = not plan.nodes or beginning.allows(tx)
    activations.create(tx, replace(new, admitted=admitted))
    for index, wire in enumerate(plan.wires):
        created = NewChannel(
            project_id=new.project_id,
            activation_id=new.activation_id,
            wire=index,
            sending_id=sending_id(new.activation_id, wire.source),
            output=wire.output,
            node=wire.target,
            conditions=wire.conditions,
            exempt=wire.cyclic or wire.target.endswith(JOIN),
        )
        channel_id = channels.create(tx, created)
        if wire.source == SOURCE and is_whole:
            channels.end(tx, channel_id)

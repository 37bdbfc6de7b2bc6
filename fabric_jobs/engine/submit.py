"""Starts jobs of Batch and Task APIs: an activation, its job, and its first items in one transaction."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from typing import Any

from fabric_jobs.apis import BATCH
from fabric_jobs.documents.api_skill import ITEMS
from fabric_jobs.engine.existing import ATTACH, existing
from fabric_jobs.engine.invoke import Beginning, lay_out
from fabric_jobs.engine.job_document import job_document
from fabric_jobs.engine.place import place_of
from fabric_jobs.engine.plans import Plans
from fabric_jobs.engine.retry import claim
from fabric_jobs.errors import InvalidInput
from fabric_jobs.jobs import Job, new_id
from fabric_jobs.records import DeadLetter, SavedDefinition
from fabric_jobs.routing import SOURCE, Plan, sending_id
from fabric_jobs.store import Store, Tx, channels, dead_letters, definitions, jobs
from fabric_jobs.store.activations import NewActivation
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.sent import Sent
from fabric_jobs.submissions import Submission

AT_THE_BEGINNING = "{}"  # where an enumerator begins
APPEND_BYTES = 64 << 10  # of items in one segment, about


def submit(store: Store, plans: Plans, wanted: Submission, beginning: Beginning) -> Future[Job]:
    """Start a job; the future holds it, once it is stored: the one that has its id already, if that was chosen.

    Raises NotFound for an unknown API, InvalidInput for one of another kind, or one that this version cannot run;
    the future raises AlreadyExists when the id belongs to something else.
    """
    pins = plans.pins(store.read, wanted.project_id, "skill", wanted.api_name)
    saved = definitions.find(store.read, wanted.project_id, "skill", wanted.api_name, pins["skills"][wanted.api_name])
    if saved is None or saved.body.get("api", {}).get("kind") != wanted.kind:
        raise InvalidInput(f"'{wanted.api_name}' is no {wanted.kind}.")
    properties = _properties(wanted)
    plan = plans.compile(store.read, wanted.project_id, pins, ITEMS, properties)
    beginning.check(wanted.project_id, plan)
    executor = wanted.executor
    if not wanted.is_placed:
        executor = place_of(store.read, wanted.project_id, pins, plan, executor)
    job = _job(wanted, saved)
    new = NewActivation(
        activation_id=job.activation_id,
        project_id=wanted.project_id,
        kind="skill",
        name=wanted.api_name,
        entry=ITEMS,
        pins=pins,
        payload=b"null",
        properties=properties,
        session_id=job.activation_id,
        correlation_id=job.activation_id,
        username=wanted.username,
        workspace=wanted.workspace,
        executor=executor,
        retry_of=wanted.retry_of,
    )

    def operation(tx: Tx) -> Job:
        if wanted.job_id and existing(tx, new, ATTACH) is not None:
            found = jobs.find(tx, job.activation_id)
            assert found is not None, "it was submitted in the same way"
            return found
        claim(tx, [_letter(tx, wanted, number) for number in wanted.letters], job.activation_id)
        plans.keep(job.activation_id, plan)
        _begin(tx, new, plan, job, _items(wanted, job, saved), beginning)
        return job

    return store.write(operation)


def _begin(tx: Tx, new: NewActivation, plan: Plan, job: Job, items: list[Sent], beginning: Beginning) -> None:
    lay_out(tx, new, plan, beginning, is_whole=job.position is None)
    jobs.create(tx, job)
    sender = Sender(activation_id=new.activation_id, sending_id=sending_id(new.activation_id, SOURCE))
    for sent in items:
        channels.append(tx, sender, sent)
    beginning.begin(tx, new.activation_id, plan)


def _letter(tx: Tx, wanted: Submission, number: int) -> DeadLetter:
    letter = dead_letters.find(tx, wanted.project_id, number)
    if letter is None:
        raise InvalidInput(f"dead letter {number} is gone.", hint="Retry the job again: it takes those that are left.")
    return letter


def _properties(wanted: Submission) -> dict[str, Any]:
    if wanted.kind != BATCH:
        return {}
    return {
        "workers": wanted.workers,
        "batch_size": wanted.batch_size,
        "max_receive_count": wanted.max_receive_count,
        **({} if wanted.batch_timeout is None else {"batch_timeout": wanted.batch_timeout}),
    }


def _job(wanted: Submission, saved: SavedDefinition) -> Job:
    return Job(
        activation_id=wanted.job_id or new_id(),
        project_id=wanted.project_id,
        api_name=wanted.api_name,
        kind=wanted.kind,
        api_version=saved.version,
        workers=wanted.workers,
        batch_size=wanted.batch_size,
        config=wanted.config,
        timeout=wanted.timeout,
        batch_timeout=wanted.batch_timeout,
        queue_arn="" if wanted.queue is None else wanted.queue.arn,
        max_receive_count=wanted.max_receive_count,
        source=wanted.source,
        position=AT_THE_BEGINNING if wanted.source else None,
        verdict="",
        submitted_at=time.time(),
    )


def _items(wanted: Submission, job: Job, saved: SavedDefinition) -> list[Sent]:
    """Return the first records: the items of the submission in segments, or, for a Task API, the job itself."""
    if wanted.kind != BATCH:
        return [Sent(output="", count=1, bytes=json.dumps(job_document(job, saved)).encode() + b"\n")]
    found, at = [], 0
    while at < len(wanted.items):
        end = wanted.items.find(b"\n", min(at + APPEND_BYTES, len(wanted.items) - 1)) + 1
        data = wanted.items[at:end]
        found.append(Sent(output="", count=data.count(b"\n"), bytes=data))
        at = end
    return found

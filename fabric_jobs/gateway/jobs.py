"""Jobs of Batch and Task APIs: list, show, wait for, stop and retry them, and their batches (docs/reference/jobs.md)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.responses import Response

from fabric_jobs.engine.job_status import LIVE
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway.caller import handed_over
from fabric_jobs.gateway.job_answers import CODES, batch_json, facts_of, job_json, with_note
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.listing import AFTER
from fabric_jobs.gateway.lookup import find_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import WAIT, WAIT_SECONDS, P, Parameter, choice, number, text, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.jobs import Job
from fabric_jobs.store import activations, batches, dead_letters, jobs, queue_letters
from fabric_jobs.store.dead_letters import LetterFilter
from fabric_jobs.submissions import DeadLetterQueue, Submission

LOOKED_AT = 1000  # jobs that a page with a filter looks through at most, and rows of any page
RETRIED = 10_000  # items in one request
RETRIED_BYTES = 64 << 20
STOP_SECONDS = 5.0  # how long the answer to a stop waits for the end

LIMIT = whole("limit", "How many at most.", 20, low=1, high=LOOKED_AT)
API = text("api", "Only of this API.")
STATUS = choice("status", "Only those with this status.", *CODES)
BY_ID = text("cursor", AFTER)
PAUSE = number("pause", "How many seconds to gather news, unless the job has ended.", 0, high=WAIT_SECONDS)
BATCH_STATE = choice("state", "Only those in this state.", "waiting", "succeeded", "dead")


def _place(said: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", said)
    if found is None:
        raise InvalidInput(f"'cursor' must be the 'next' of the page before, not '{said[:100]}'.")
    return int(found[1]), int(found[2])


BY_PLACE = Parameter("cursor", AFTER, _place, (0, -1), {"type": "string", "pattern": "^([0-9]{1,18}-[0-9]{1,18})?$"})


async def list_jobs(call: Call) -> Response:
    """List jobs, the newest first.

    A page with `status` looks through 1,000 jobs at most, so it may have fewer than `limit` though there is a `next`.
    """
    found, following = await asyncio.to_thread(_page, call)  # reads much about each
    return Json({"success": True, "jobs": found, "next": following})


async def show_job(call: Call) -> Response:
    """Show a job; with `wait` when there is news, or after so many seconds; with `pause` it gathers news for this long."""
    job = find_job(call)
    sql, live, key = call.parts.store.read, call.parts.live, job.activation_id
    if call.of(WAIT) and activations.is_pending(sql, key):
        await live.wait([("activation", key)], call.of(WAIT))
        if call.of(PAUSE) and activations.is_pending(sql, key):
            await live.wait([("over", key)], call.of(PAUSE))
    shown = await asyncio.to_thread(lambda: with_note(call.parts, facts_of(call.parts, find_job(call))))
    return Json({"success": True, "job": shown})


async def list_batches(call: Call) -> Response:
    """List the batches of a job that deviate: those that failed, or whose worker was lost; all others succeeded at once.

    `waiting` ones are tried again, `succeeded` ones were, and the items of `dead` ones are dead letters.
    """
    job, store, limit = find_job(call), call.parts.store, call.of(LIMIT)
    state = call.of(BATCH_STATE) or None
    rows = batches.of_activation(store.read, job.activation_id, state=state, after=call.of(BY_PLACE), limit=limit)
    following = f"{rows[-1].channel_id}-{rows[-1].first_offset}" if len(rows) == limit else None
    found = await asyncio.to_thread(lambda: [batch_json(store.read, job, row) for row in rows])
    return Json({"success": True, "batches": found, "next": following})


async def stop_job(call: Call) -> Response:
    """Stop a job; `stopped` is false if it had ended. Batches that are being handled are not waited for."""
    job = find_job(call)
    stopped = await stop(call.parts, job)
    message = "is stopped" if stopped else "had ended before"
    return Json({"success": True, "stopped": stopped, "message": f"job {job.activation_id} {message}."})


async def retry_failed(call: Call) -> Response:
    """Submit the items of a job's dead batches again, as a new job of the newest version of its API.

    One request takes 10,000 items, and 64 MiB of them, at most; `left` says how many more there are. A dead letter is retried once.
    """
    job, parts = find_job(call), call.parts
    wanted = await asyncio.to_thread(_retry, call, job)
    if not wanted.letters:
        said = f"job {job.activation_id} has no dead letter that is not retried already."
        raise InvalidInput(said, hint="See `fabric-jobs jobs batches`.")
    new = await asyncio.wrap_future(parts.engine.submit(wanted, handed_over(call, call.object), call.caller.attempt))
    left = dead_letters.count(parts.store.read, _letters_of(job))
    shown = job_json(facts_of(parts, new))
    return Json({"success": True, "job": shown, "items": len(wanted.letters), "left": left})


async def retry_queue(call: Call) -> Response:
    """Try again at once, with all tries, to send a job's dead batches to the queue that it names."""
    job, store = find_job(call), call.parts.store
    if not await asyncio.wrap_future(store.write(lambda tx: queue_letters.retry(tx, job.activation_id))):
        raise InvalidInput(f"job {job.activation_id} has no dead batch that waits for its queue.")
    return Json({"success": True, "message": f"the dead batches of job {job.activation_id} are sent again."})


def find_job(call: Call) -> Job:
    """Return the job of a path, by its id or a beginning that only one has; raise NotFound, or InvalidInput."""
    name = str(call.path_params["job"])
    try:
        activation = find_activation(call, name)
    except NotFound:
        activation = None
    job = jobs.find(call.parts.store.read, activation.activation_id) if activation is not None else None
    if job is None:
        raise NotFound(f"there is no job '{name}'.", hint="List them with `fabric-jobs jobs list`.")
    return job


async def stop(parts: Parts, job: Job) -> bool:
    """Stop a job, and wait a moment until its status says so; return False when it had ended."""
    key = job.activation_id
    asked = await asyncio.wrap_future(parts.engine.cancel(key, job.project_id, "stopped by its user"))
    if asked and activations.is_pending(parts.store.read, key):
        await parts.live.wait([("over", key)], STOP_SECONDS)
    return asked


def _page(call: Call) -> tuple[list[dict[str, Any]], str | None]:
    """Return the jobs of a page, and the cursor of the next one."""
    sql, status, limit = call.parts.store.read, call.of(STATUS), call.of(LIMIT)
    wanted = jobs.JobFilter(
        project_id=call.project,
        api_name=call.of(API) or None,
        is_live=None if not status else status in LIVE,
        after=call.of(BY_ID),
        limit=LOOKED_AT if status else limit,
    )
    found: list[dict[str, Any]] = []
    last, seen = "", jobs.listed(sql, wanted)
    for job in seen:
        facts = facts_of(call.parts, job)
        if not status or facts.status == status:
            found.append(job_json(facts))
        last = job.activation_id
        if len(found) == limit:
            break
    is_last = len(found) < limit and len(seen) < wanted.limit
    return found, None if is_last else last


def _letters_of(job: Job) -> LetterFilter:
    return LetterFilter(project_id=job.project_id, activation_id=job.activation_id, retried=False, limit=RETRIED)


def _retry(call: Call, job: Job) -> Submission:
    sql = call.parts.store.read
    activation = activations.find(sql, job.activation_id)
    assert activation is not None, "its row refers to it"
    items, letters = bytearray(), []
    for letter in dead_letters.listed(sql, _letters_of(job)):
        items += dead_letters.payload(sql, letter.dead_letter_id) + b"\n"
        letters.append(letter.dead_letter_id)
        if len(items) >= RETRIED_BYTES:
            break
    return Submission(
        project_id=job.project_id,
        api_name=job.api_name,
        kind=job.kind,
        workers=job.workers,
        batch_size=job.batch_size,
        config=job.config,
        timeout=job.timeout,
        batch_timeout=job.batch_timeout,
        queue=DeadLetterQueue(job.queue_arn, job.max_receive_count) if job.queue_arn else None,
        max_receive_count=job.max_receive_count,
        items=bytes(items),
        username=call.caller.username,
        executor=activation.executor,
        workspace=activation.workspace,
        retry_of=job.activation_id,
        letters=tuple(letters),
    )


JOBS, ONE = P + "/jobs", P + "/jobs/{job}"
OPERATIONS = (
    Operation("GET", JOBS, list_jobs, parameters=(API, STATUS, LIMIT, BY_ID), answer="Jobs"),
    Operation("GET", ONE + "/batches", list_batches, parameters=(BATCH_STATE, LIMIT, BY_PLACE), answer="Batches"),
    Operation("POST", ONE + "/stop", stop_job, answer="Stopped", role="run"),
    Operation("POST", ONE + "/retry", retry_failed, body="RetryJob", answer="RetriedJob", role="run"),
    Operation("POST", ONE + "/queue/retry", retry_queue, answer="Done", role="run"),
    Operation("GET", ONE, show_job, parameters=(WAIT, PAUSE), answer="OneJob"),
)

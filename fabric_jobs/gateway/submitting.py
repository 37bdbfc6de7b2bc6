"""Takes submissions to Batch and Task APIs: starts a job, or lists what it would read (docs/reference/jobs.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from fabric_jobs.apis import BATCH
from fabric_jobs.engine.job_document import job_document
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordTooLarge, WrongRequest
from fabric_jobs.gateway.caller import handed_over, owners_own
from fabric_jobs.gateway.cortex import kind_of, project_of
from fabric_jobs.gateway.definitions import check_file
from fabric_jobs.gateway.invoke import EXECUTOR, WORKSPACE, executor_of
from fabric_jobs.gateway.json_response import Json, body_of
from fabric_jobs.gateway.operation import Call
from fabric_jobs.gateway.parameters import Parameter
from fabric_jobs.records import SavedDefinition
from fabric_jobs.shell import INVOKER
from fabric_jobs.store import definitions
from fabric_jobs.submissions import DeadLetterQueue, Submission

if TYPE_CHECKING:
    from fabric_jobs.documents.request_text import Posted  # late, like all that reads submissions: most owners get none

YES = ("1", "t", "T", "TRUE", "true", "True")


def _job_id(text: str) -> str:
    from fabric_jobs.documents.submissions import job_id

    return job_id(text)


DRY_RUN = Parameter(
    "dryRun",
    "Start nothing: list the files that would be read, as text.",
    lambda text: text in YES,
    False,
    {"type": "boolean", "default": False},
)
JOB_ID = Parameter(
    "x-fabric-job-id",
    "The id of the job, 16 hexadecimal digits: a submission that is sent again with it starts nothing, and gets the same answer.",
    _job_id,
    "",
    {"type": "string", "pattern": "^([0-9a-f]{16})?$"},
    place="header",
)
ASKED = (DRY_RUN, EXECUTOR, WORKSPACE, JOB_ID)
PASSED = "validations passed"
NO_FILES = "batchapi.no_s3_files_found"
WRONG_PATH = "aws.invalid_s3_path"
TOGETHER = 1000  # paths that are sent at once


async def submit(call: Call, saved: SavedDefinition) -> Response:
    """Start a job of an API, and answer with it; raise WrongRequest for the first thing that is wrong with the request."""
    from fabric_jobs.documents.submissions import posted

    check_file(call.parts, "skill", saved.project_id, saved.name)
    given = await asyncio.to_thread(posted, await _body(call), kind_of(saved))
    is_dry = call.of(DRY_RUN) and kind_of(saved) == BATCH
    try:
        wanted = await asyncio.to_thread(_wanted, call, saved, given)
        wanted, listing = await asyncio.to_thread(_with_source, call, wanted)
    except InvalidInput as error:
        if not is_dry:
            raise
        return Response(f"\n{error.message}\n", status_code=400, media_type="text/plain")
    if is_dry:
        return StreamingResponse(_listed(listing), media_type="text/plain")
    parts, shell = call.parts, handed_over(call, given.fields)
    job = await asyncio.wrap_future(parts.engine.submit(wanted, shell, _invoker(call)))
    ran = definitions.find(parts.store.read, job.project_id, "skill", job.api_name, job.api_version)
    document = job_document(job, ran or saved)
    if wanted.items:
        document["total_batch_count"] = -(-wanted.items.count(b"\n") // job.batch_size)
    else:
        document.pop("total_batch_count", None)
    return Json(document)


async def _body(call: Call) -> bytes:
    limit = call.parts.settings.submission_bytes
    try:
        return await body_of(call, limit)
    except RecordTooLarge as error:
        hint = "Name files in the request instead, or raise FABRIC_JOBS_SUBMISSION_BYTES of the gateway."
        raise WrongRequest(f"the request is over the limit of {limit:,} bytes.", hint=hint) from error


def _wanted(call: Call, saved: SavedDefinition, given: Posted) -> Submission:
    from fabric_jobs.documents.submissions import Allowed, batch_submission, task_submission

    base = Submission(
        project_id=project_of(call),
        api_name=saved.name,
        kind=kind_of(saved),
        username=call.caller.username,
        job_id=call.of(JOB_ID),
        executor=executor_of(call),
        is_placed=bool(call.of(EXECUTOR)),
        workspace=owners_own(call, WORKSPACE),
    )
    if base.kind == BATCH:
        settings = call.parts.settings
        wanted = batch_submission(given, base, Allowed(settings.batch_bytes, settings.job_workers))
        if wanted.queue is not None:
            _check_queue(wanted.queue)
        return wanted
    return task_submission(given, base)


def _check_queue(queue: DeadLetterQueue) -> None:
    """Raise WrongRequest for a queue that no batch could ever be sent to."""
    from fabric_jobs import queue_arns, sqs  # late: few jobs name one

    try:
        queue_arns.parsed(queue.arn)
        sqs.check_installed()
    except InvalidInput as error:
        raise WrongRequest(f"sqs_dead_letter_queue: arn: {error.message}", hint=error.hint) from error


def _invoker(call: Call) -> str:
    return call.caller.attempt or (call.headers.get(INVOKER, "") if call.caller.is_owner else "")


def _with_source(call: Call, wanted: Submission) -> tuple[Submission, Iterator[str]]:
    """Return a submission with its source as it is stored, and the names of the files; a file is there, and may be read.

    Raises WrongRequest or InvalidInput for a source that cannot be read, PlaceUnavailable for a store that does not answer.
    """
    if not wanted.source:
        return wanted, iter(())
    from fabric_jobs.sources.source import source_from_json, stored_source  # late: few submissions name files

    settings = call.parts.settings
    base = Path(wanted.workspace) if wanted.workspace else settings.workspace
    within = None if call.caller.is_owner else settings.source_directories
    try:
        source = source_from_json(wanted.source, base=base, within=within, endpoint=settings.source_endpoint)
    except InvalidInput as error:
        kind = WRONG_PATH if ": s3_paths: " in error.message else "error"
        raise WrongRequest(error.message, kind=kind, hint=error.hint) from error
    names = (file.name for file in source.listed())
    try:
        first = next(names, None)
    except InvalidInput as error:  # there is no such path, or it may not be read
        raise WrongRequest(f"{source.block}: {error.message}", kind=NO_FILES, hint=error.hint) from error
    if first is None:
        said = f"{source.block}: no file matches s3_paths, includes and excludes."
        hint = "A path is the beginning of a key; patterns match all of s3://BUCKET/KEY."
        raise WrongRequest(said, kind=NO_FILES, hint=hint)
    return wanted._replace(source=stored_source(source, wanted.source)), chain([first], names)


async def _listed(listing: Iterator[str]) -> AsyncIterator[str]:
    """Yield the paths of a listing, a line each, and then that all is well; the listing may be longer than memory."""
    while True:
        try:
            paths = await asyncio.to_thread(_some, listing)
        except (InvalidInput, PlaceUnavailable) as error:  # the status has been sent
            yield f"\n{error.message}\n"
            return
        if not paths:
            break
        yield "".join(f"{path}\n" for path in paths)
    yield PASSED


def _some(listing: Iterator[str]) -> list[str]:
    return list(islice(listing, TOGETHER))

"""Jobs of Batch and Task APIs, as commands submit, list and follow them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fabric_jobs.client.gateway import segment
from fabric_jobs.errors import RunFailed

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

PATHS = {"BatchAPI": "batch", "TaskAPI": "tasks"}
LIVE = ("pending", "enqueuing", "running")
SUCCEEDED, ENQUEUE_FAILED = "succeeded", "enqueue_failed"
PAGE = 1000  # rows that a gateway lists at once
PART_BYTES = 1 << 16
GATHER_SECONDS = 0.2  # news of a running job is gathered for this long

Watch = Callable[[Mapping[str, Any]], float]  # takes a job, returns the seconds until the next look


def path_of(gateway: Gateway, api: str) -> str:
    """Return the path that takes submissions to an API; raise NotFound."""
    from fabric_jobs.client.apis import find  # late: only submissions need it

    return f"/{PATHS[find(gateway, api)['kind']]}/{segment(api)}"


def headers_of(gateway: Gateway, job_id: str, root: Path | None) -> dict[str, str]:
    """Return the headers of a submission from the workspace `root`, which gets the id `job_id`."""
    from fabric_jobs.shell import INVOKER  # late, as in `_shell`

    headers = {"x-fabric-job-id": job_id}
    if attempt := os.environ.get("FABRIC_JOBS_ATTEMPT"):  # a job runs this command
        headers[INVOKER] = attempt
    if gateway.is_local and root is not None:
        headers["x-fabric-workspace"] = quote(str(root))
    return headers


def submit(gateway: Gateway, path: str, request: str, headers: dict[str, str], *, executor: str) -> str:
    """Submit a job, with the environment of this process; return its id.

    `request` is a JSON object as text. Raises InvalidInput for what is wrong in it. With an id among the headers it may be
    repeated.
    """
    answer = gateway.post_text(path, _with_shell(gateway, request), headers, executor=executor)
    return str(json.loads(answer.body)["job_id"])


def dry_run(gateway: Gateway, path: str, request: str, headers: dict[str, str]) -> Iterator[bytes]:
    """Check a request, and yield the list of files that would be read as text; raise InvalidInput for what is wrong in it."""
    given = {"content-type": "application/json", **headers}
    body = request.encode()
    answer = gateway.patiently(lambda: gateway.stream("POST", f"{path}?dryRun=true", body, given, of_project=False))
    with answer:
        while part := answer.read(PART_BYTES):
            yield part


def find_job(gateway: Gateway, job_id: str, **query: Any) -> dict[str, Any]:
    """Return a job, by its id or the beginning of it; raise NotFound or InvalidInput."""
    found: dict[str, Any] = gateway.get(f"/jobs/{segment(job_id)}", **query)["job"]
    return found


def whole_id(gateway: Gateway, job_id: str) -> str:
    """Return the id of a job, given the beginning of it; raise NotFound or InvalidInput."""
    return str(find_job(gateway, job_id)["job_id"])


def list_jobs(
    gateway: Gateway, *, api: str | None, status: str | None, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return the newest jobs that match, and whether there are more."""
    return _pages(gateway, "/jobs", "jobs", limit, api=api, status=status)


def batches_of(gateway: Gateway, job_id: str, *, state: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the batches of a job that deviate, in the order of their items, and whether there are more."""
    return _pages(gateway, f"/jobs/{segment(job_id)}/batches", "batches", limit, state=state)


def stop(gateway: Gateway, job_id: str) -> str:
    """Stop a job; return what the gateway says of it."""
    return str(gateway.post(f"/jobs/{segment(job_id)}/stop")["message"])


def retry_failed(gateway: Gateway, job_id: str) -> dict[str, Any]:
    """Make a new job of the dead batches of a job; return the gateway's answer: the job, its items, and how many are left."""
    answer: dict[str, Any] = gateway.post(f"/jobs/{segment(job_id)}/retry", _shell(gateway))
    return answer


def follow(gateway: Gateway, job_id: str, watch: Watch) -> dict[str, Any]:
    """Return a job once it has ended; `watch` sees it on the way."""
    pause = 0.0
    while True:
        job = find_job(gateway, job_id, wait=pause or None, pause=min(pause, GATHER_SECONDS) or None)
        pause = watch(job)
        if job["status"] not in LIVE:
            return job


def check_ended_well(gateway: Gateway, job: Mapping[str, Any]) -> None:
    """Raise RunFailed, with all that helps, unless a job has succeeded."""
    if job["status"] == SUCCEEDED:
        return
    reason = job.get("reason") or _first_error(gateway, job)
    said = ": ".join(filter(None, [f"job {job['job_id']} ended {job['status']}", what_became(job), reason]))
    last = job.get("last_lines", ())
    lines = [said, *(["  the last lines of the worker:"] if last else []), *(f"    {line}" for line in last)]
    word = "get" if job["status"] == ENQUEUE_FAILED else "batches" if job.get("batches_dead") else "logs"
    raise RunFailed("\n".join(lines), hint=f"Next: fabric-jobs jobs {word} {job['job_id']}")


def _first_error(gateway: Gateway, job: Mapping[str, Any]) -> str:
    """Return the error of the first batch that failed, dead ones first; empty if none has."""
    state = "dead" if job.get("batches_dead") else None
    found, _ = batches_of(gateway, job["job_id"], state=state, limit=1) if "batch_metrics" in job else ([], False)
    return str(found[0]["error"]) if found else ""


def what_became(job: Mapping[str, Any]) -> str:
    """Return what became of the batches of a job, in words; empty if it can have none."""
    if "batch_metrics" not in job:
        return ""
    total, dead = job["total_batch_count"], job["batches_dead"]
    if not total:
        return "there were no items" if job["status"] == SUCCEEDED else ""
    said = f"{job['batch_metrics']['succeeded']:,} of {total:,} batches succeeded"
    return said + (f", {dead:,} {'is' if dead == 1 else 'are'} dead" if dead else "")


def _pages(gateway: Gateway, path: str, key: str, limit: int, **query: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return up to `limit` rows of a list, which may take several pages, and whether there are more."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = gateway.get(path, limit=min(limit - len(found), PAGE), cursor=cursor, **query)
        found += answer[key]
        cursor = answer["next"]
        if cursor is None or len(found) >= limit:
            return found, cursor is not None


def _with_shell(gateway: Gateway, request: str) -> str:
    """Return a request with the environment of this process, if the gateway is on this machine."""
    more = json.dumps(_shell(gateway))[1:-1]
    rest = request.strip()[1:].lstrip()
    return f"{{{more}{', ' if more and rest != '}' else ''}{rest}"


def _shell(gateway: Gateway) -> dict[str, Any]:
    if not gateway.is_local:
        return {}
    from fabric_jobs.shell import SHELL, own_shell  # late: not needed for a remote gateway

    return {SHELL: own_shell().document()}

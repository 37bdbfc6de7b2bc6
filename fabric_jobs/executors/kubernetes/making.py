"""Creates the objects of an attempt in a cluster, and finds out why there is no pod of it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import dockerfile
from fabric_jobs.executors.attempt_files.specs import holds_secrets
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import group_manifest, manifest
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.carried import AGAIN_SECONDS
from fabric_jobs.executors.kubernetes.site import Site
from fabric_jobs.executors.kubernetes.state import NO_LINE, AttemptState
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Conflict, Missing, RightMissing

FETCH = "Use an image with python3, so that its program can fetch them from the gateway."
KEEP = "Keep what is large elsewhere, such as in an object store, and pass where that is."
FAILED = "FailedCreate"  # the reason of an event of a Job that may not make its pod


async def make(directory: Path, site: Site, *, plain: bool) -> None:
    """Make the Secret and the Job of an attempt, unless they are there.

    Raises InvalidInput if a retry would not help, Forgotten, Unreadable, or ExecutorUnavailable.
    """
    spec, around = await prepared(directory, site)
    words = () if plain else program_of(spec.processes[0])
    if not words and not plain:
        AttemptState(directory).begin_plainly(NO_LINE)
    cluster = site.cluster
    secret = group_manifest.secret(spec, words, around)
    job = group_manifest.job(spec, words, around)
    check_size(secret, KEEP if len(spec.processes) > 1 else FETCH)
    with suppress(Conflict):
        await cluster.create("secrets", secret)
    try:
        made = await cluster.create("jobs", job)
    except Conflict:
        made = await cluster.get("jobs", str(job["metadata"]["name"]))
    owned = {"metadata": {"ownerReferences": [reference(made)]}}
    await cluster.patch("secrets", str(secret["metadata"]["name"]), owned)  # it goes with the Job


async def prepared(directory: Path, site: Site, *, contents: bool = True) -> tuple[AttemptSpec, Around]:
    """Return the spec of an attempt and what is around it, once its pods can reach the gateway; raise what `make` does.

    Its files are read only for their `contents`: a launcher fetches them by name.
    """
    spec = site.secret.whole(directory)
    if contents:
        spec = with_contents(spec, directory)
    around = await site.route.around()
    if not spec.processes[0].image:
        raise InvalidInput("the action has no image: add 'image' in skill.yaml, and build and publish it.")
    await site.route.prove(spec.processes[0].image)
    await site.route.furnish()
    for remark in await site.extras.apply(spec):
        AttemptState(directory).remark(remark)
    return spec, around


def with_contents(spec: AttemptSpec, directory: Path) -> AttemptSpec:
    """Return a spec with the contents of its files, which are on the disk unless it holds secrets."""
    from dataclasses import replace

    if not spec.files or holds_secrets(spec):
        return spec
    return replace(spec, files={name: (directory / "files" / name).read_bytes() for name in spec.files})


def program_of(process: ProcessSpec) -> tuple[str, ...]:
    """Return the program line without its arguments, as in the image; empty when only the image knows it."""
    if process.command or process.directory is None:
        return process.command
    file = dockerfile.read_file(process.directory / "Dockerfile")
    if file is None or (file.is_shell and process.arguments):
        return ()
    return (*file.entrypoint, *(() if file.is_shell else file.command))


async def is_there(cluster: Cluster, kind: str, name: str) -> bool:
    """Return whether an object is in the cluster that nobody has noted as made, because not all that belongs to it was."""
    try:
        await cluster.get(kind, name)
    except (Missing, RightMissing):  # nothing is made before all rights are there
        return False
    return True


async def clean_up(cluster: Cluster, job: str, *, owns_secret: bool) -> None:
    """Delete the Job of an attempt that has ended, however long the cluster does not answer, unless it refuses that."""
    while True:
        try:
            await cluster.delete("jobs", job)
            if not owns_secret:
                await cluster.delete("secrets", job)
            return
        except ExecutorUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)
        except InvalidInput:
            return


def reference(made: Object) -> Object:
    """Return what makes an object go with another one."""
    found = made["metadata"]
    return {"apiVersion": made["apiVersion"], "kind": made["kind"], "name": found["name"], "uid": found["uid"]}


def has_ended(job: Object) -> bool:
    """Return whether a Job makes no pod any more."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each["status"] == "True" and each["type"] in ("Failed", "Complete") for each in conditions)


async def why_no_pod(cluster: Cluster, job: Object) -> str:
    """Return in the cluster's own words why a Job has no pod; empty when nothing is wrong so far."""
    if job["spec"].get("suspend"):
        queue = job["metadata"].get("labels", {}).get(manifest.QUEUE)
        return f"suspended: waits in the queue '{queue}'" if queue else "suspended: waits until it is let go"
    found, _ = await cluster.list("events", fields=f"involvedObject.uid={job['metadata']['uid']}")
    said = [event for event in found if event.get("reason") == FAILED]
    return str(said[-1].get("message") or "") if said else ""


def check_size(secret: Object, hint: str = KEEP) -> None:
    """Raise InvalidInput if a Secret is larger than the cluster allows."""
    texts = (text.encode() for text in secret.get("stringData", {}).values())
    files = (base64.b64decode(text) for text in secret.get("data", {}).values())
    size = sum(len(value) for value in (*texts, *files))
    if size > manifest.MOST_BYTES:
        raise InvalidInput(
            f"message, variables and files of this attempt have {size:,} bytes; a Secret may have {manifest.MOST_BYTES:,}.",
            hint=hint,
        )

"""Describes the pods of a pool, which fork attempts of one program of one skill (docs/howto/warm-starts.md#in-a-cluster). Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.kubernetes import manifest
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.executors.kubernetes.pool_state import PoolProgram
from fabric_jobs.executors.warm import command

POOL = f"{manifest.PREFIX}pool"  # the label of everything that belongs to a pool
LABELS = ("project", "skill", "action")  # what the attempts of a pool have in common
# Variables that differ between the attempts of a program.
OWN = (
    "CORTEX_PAYLOAD",
    "CORTEX_TOKEN",
    "FABRIC_JOBS_ATTEMPT",
    "FABRIC_JOBS_SCHEDULED_AT",
    "FABRIC_JOBS_WORKER_FILE",
)
TTL_SECONDS = 60  # of the Job of a pod that has ended
NO_LINE = "only its image knows its program; give the action a 'command'"


def unfit(spec: AttemptSpec, words: tuple[str, ...]) -> str:
    """Return why an attempt with `warm` starts in a pod of its own all the same; empty if it fits a pool."""
    process = spec.processes[0]
    if process.port or process.is_project or len(spec.processes) > 1:
        return "it is the program of a daemon or an API"
    if not words:
        return NO_LINE
    if any(str(add.get("path", "")).endswith(("/command", "/args")) for add in process.pod_spec):
        return "its podSpec has a command of its own"
    found = command.read(words)
    return found if isinstance(found, str) else ""


def key(program: PoolProgram, secret: bytes) -> str:
    """Return the name of the pool for a program. Everything that makes a pod goes into it, keyed, as some may be secret."""
    alike = _alike(program.spec, "pool")
    pod = manifest.template(alike, program.words, program.around, "")
    about = [pod, _order(alike, program.words, program.around), dict(alike.labels)]
    return hmac.new(secret, json.dumps(about, sort_keys=True).encode(), hashlib.sha256).hexdigest()[:16]


def objects(program: PoolProgram, pool: dict[str, Any], number: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the name of one more pod of a pool, its Secret and its Job, which both have that name.

    `pool` has its name (`pool`), its `token`, and how many seconds a pod may be `idle` without a gateway.
    """
    words, around = program.words, program.around
    alike = _alike(program.spec, f"pool-{pool['pool']}-{number}")
    secret, job = manifest.secret(alike, words, around), manifest.job(alike, words, around)
    name = str(job["metadata"]["name"])
    secret["stringData"] = {manifest.ORDER: json.dumps({**_order(alike, words, around), **pool, "pod": name})}
    pod = job["spec"]["template"]
    for metadata in (secret["metadata"], job["metadata"], pod["metadata"]):
        metadata["labels"][POOL] = metadata["annotations"][POOL] = pool["pool"]
    job["spec"]["ttlSecondsAfterFinished"] = TTL_SECONDS
    container = next(each for each in pod["spec"]["containers"] if each["name"] == PROGRAM)
    container["command"] = [*container["command"], "pool"]
    return name, secret, job


def order(program: PoolProgram) -> dict[str, Any]:
    """Return what a pod of a pool is told about one attempt. After `deadline` seconds, without a gateway too, it is killed."""
    found = manifest.order(program.spec, program.words, program.around)
    found["environment"] = {name: value for name, value in found["environment"].items() if name in OWN}
    deadline = 2 * program.spec.timeout + manifest.SPARE_SECONDS if program.spec.timeout else None
    return {**found, "name": program.spec.name, "deadline": deadline}


def _alike(spec: AttemptSpec, name: str) -> AttemptSpec:
    """Return a spec without what differs between the attempts of its program."""
    process = spec.processes[0]
    environment = {name: value for name, value in process.environment.items() if name not in OWN}
    labels = {name: spec.labels[name] for name in LABELS if name in spec.labels}
    process = replace(process, arguments=(), environment=environment)
    return AttemptSpec(name=name, processes=(process,), labels=labels)


def _order(alike: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    found = command.read(words)
    assert not isinstance(found, str)
    process = alike.processes[0]
    return {
        **manifest.order(alike, words, around),
        "words": list(words[: len(words) - len(found.arguments)]),
        "kind": found.kind,
        "target": found.target,
        "options": len(found.options),
        "preload": list(process.warm or ()),
    }

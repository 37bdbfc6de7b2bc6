"""What the worker of an API reads about itself and its job, and the programs beside it (docs/explanation/batches.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from fabric_jobs import sizes
from fabric_jobs.apis import Api, ApiCode, ApiContainer
from fabric_jobs.engine import containers
from fabric_jobs.engine.job_document import job_document
from fabric_jobs.executors.base import AttemptSpec, Limits
from fabric_jobs.jobs import Job
from fabric_jobs.records import Activation, SavedDefinition
from fabric_jobs.routing import Node

WORKER_FILE = "worker.json"
VARIABLE = "FABRIC_JOBS_WORKER_FILE"


def with_worker(spec: AttemptSpec, content: Mapping[str, Any], api: Api, files: str, image: str) -> AttemptSpec:
    """Return the attempt of a worker with its file, and with its containers where they are programs of the place.

    `files` is the attempt's directory of files as its programs see it, `image` that of workers whose API names none.
    """
    first, *others = spec.processes
    first = replace(first, environment={**first.environment, VARIABLE: f"{files}/{WORKER_FILE}"})
    if content["place"] == "local":
        if api.containers:
            content = {**content, **containers.on_this_machine(api, content["containers"], first.directory)}
            first = replace(first, directory=first.directory or Path(files))  # an API may be nothing but images
        written = {WORKER_FILE: json.dumps(content).encode()}
        return replace(spec, processes=(first, *others), files={**spec.files, **written})
    first = replace(first, image=first.image or image)
    written = {WORKER_FILE: json.dumps(content).encode()}
    spec = replace(spec, processes=(first, *others), files={**spec.files, **written}, hosts=containers.HOSTS)
    if api.code is not None:
        first = replace(first, limits=replace(first.limits, shm=sizes.bytes_of(api.code.shm_size or "0")))
        return replace(spec, processes=(first,))
    first = replace(first, limits=Limits())  # those are its containers'
    others += containers.in_containers(api, first.gateway)
    spec = replace(spec, processes=(first, *others), files={**spec.files, **containers.files(content["job"])})
    return replace(spec, shared=containers.SHARED, placed=containers.PLACED)


def worker_content(activation: Activation, node: Node, saved: SavedDefinition, job: Job | None) -> dict[str, Any]:
    """Return the content of a worker's file; `job` is None for an API that is a skill of an agent."""
    api = node.action.api
    assert api is not None
    job = job or _job_of(activation, node, saved)
    return {
        "form": "containers" if api.code is None else "class",
        "kind": api.kind,
        "api": saved.body.get("api", {}),
        "job": job_document(job, saved),
        "config": merged(api.code.config if api.code is not None else {}, job.config),
        "code": None if api.code is None else _code(api.code),
        "containers": [_shown(each) for each in api.containers],
        "port": api.port,
        "concurrency": api.max_concurrency,
        "batch_timeout": node.properties.get("batch_timeout"),
        "place": activation.executor,
    }


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` merged into it: mappings key by key, anything else is replaced. Neither is changed."""
    found = deepcopy(dict(base))
    for key, value in over.items():
        before = found.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = merged(before or {}, value) if both else deepcopy(value)
    return found


def _job_of(activation: Activation, node: Node, saved: SavedDefinition) -> Job:
    """Return the job that an activation of an agent would be."""
    config = node.properties.get("config")
    return Job(
        activation_id=activation.activation_id,
        project_id=activation.project_id,
        api_name=saved.name,
        kind=node.action.api.kind if node.action.api is not None else "",
        api_version=saved.version,
        workers=node.workers,
        batch_size=node.action.batch.size if node.action.batch is not None else 1,
        config=config if isinstance(config, dict) else {},
        timeout=None,
        batch_timeout=None,
        queue_arn="",
        max_receive_count=1,
        source={},
        position=None,
        verdict="",
        submitted_at=activation.started_at,
    )


def _code(code: ApiCode) -> dict[str, Any]:
    return {key: value for key, value in code._asdict().items() if key != "config"}


def _shown(container: ApiContainer) -> dict[str, Any]:
    found = {**container._asdict(), "compute": container.compute._asdict()}
    for key in ("readiness_probe", "liveness_probe"):
        probe = getattr(container, key)
        found[key] = None if probe is None else probe._asdict()
    return found

"""The skill that runs a Batch or Task API, so that whatever handles skills handles APIs (docs/explanation/batches.md)."""

from __future__ import annotations

from fabric_jobs.apis import Api, Compute
from fabric_jobs.definitions import (
    Action,
    Property,
    Resources,
    Retries,
    Routing,
    Skill,
    SkillInput,
    SkillOutput,
    Target,
)

ITEMS = "items"
RESULTS = "results"
WORKER = "worker"
PROGRAM = ("python", "-m", "cortex_worker")  # of the runtime layer
WORKER_LIMIT = 3  # a worker may fail this often in a row, while no batch succeeds


def api_skill(api: Api) -> Skill:
    """Return the skill that runs an API: one input for items, and one action, whose tasks are its workers."""
    code, containers = api.code, api.containers
    first = containers[0] if containers else None
    action = Action(
        name=WORKER,
        image=code.image if code is not None else "",
        command=PROGRAM,
        environment=dict(code.env) if code is not None else {},
        receives="stream" if api.is_batch else "message",
        message="file",
        response="stdout",
        workers=1,
        retries=Retries(limit=WORKER_LIMIT) if api.is_batch else Retries(),
        resources=_resources(api.compute if first is None else first.compute),
        concurrency=api.max_concurrency,
        warm=code.warm if code is not None else None,
        api=api,
    )
    return Skill(
        name=api.name,
        title=f"{api.kind} {api.name}",
        inputs=(SkillInput(name=ITEMS, routing=Routing("all", Target(WORKER, "cortex/jobs", RESULTS))),),
        outputs=(SkillOutput(RESULTS),),
        properties=(
            Property(name="workers", type="number", default_value=1),
            Property(name="batch_size", type="number", default_value=1),
            Property(name="batch_timeout", type="number"),
            Property(name="max_receive_count", type="number", default_value=1),
            Property(name="config", type="object", default_value={}),
        ),
        actions=(action,),
    )


def _resources(compute: Compute) -> Resources:
    """Return the limits of a worker: as in the original, the processor is a request, and no limit."""
    return Resources(memory=compute.mem, gpu=compute.gpu)

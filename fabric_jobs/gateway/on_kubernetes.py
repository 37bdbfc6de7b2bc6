"""Shows what of a skill or a task would run on Kubernetes: the objects that the executor makes, without their message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from fabric_jobs.definitions import Action, Skill
from fabric_jobs.documents import agent_from_json, skill_from_json
from fabric_jobs.engine.calls.target import port_of
from fabric_jobs.engine.launch import PAYLOAD_FILE, Issued, as_daemon, labels_of, program_of, with_message
from fabric_jobs.engine.worker_file import with_worker
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.executors.base import AttemptSpec, Inside
from fabric_jobs.executors.kubernetes import daemon_manifest, group_manifest, manifest, pool_manifest, pool_settings
from fabric_jobs.executors.kubernetes.around import Around, around
from fabric_jobs.executors.kubernetes.making import program_of as words_of
from fabric_jobs.executors.kubernetes.owner import owner_of
from fabric_jobs.executors.kubernetes.pool_state import PoolProgram
from fabric_jobs.images.names import default_image
from fabric_jobs.manifests import listed
from fabric_jobs.records import SavedDefinition, Task
from fabric_jobs.settings import Settings
from fabric_jobs.state_dir import attempts_dir
from fabric_jobs.store import activations, definitions
from fabric_jobs.store.sql import Sql

LEFT_OUT = "(left out)"
NO_POOL, NO_NUMBER = {"pool": "0" * 16, "token": LEFT_OUT}, "0" * 8  # of a pod of a pool, which gets its own
INSIDE = Inside(files=manifest.FILES_INSIDE, api_endpoint="")


class Place(NamedTuple):
    """What the settings of an owner say of its pods."""

    around: Around
    worker_image: str


def place_of(settings: Settings) -> Place:
    """Return what settings say. Raise InvalidInput for a wrong one, and OSError."""
    owner = owner_of(attempts_dir(settings.state_dir).absolute())
    return Place(around(owner, settings.advertise), settings.worker_image)


def of_definition(
    sql: Sql, saved: SavedDefinition, place: Place, versions: Mapping[str, int] | None = None, *, cold: bool = False
) -> dict[str, Any]:
    """Return what of a skill, or of all skills of an agent, would run on Kubernetes.

    `versions` are those of the agent's skills, by default the newest; `cold` turns warm starts off. Raises NotFound when a skill
    is not saved, InvalidInput when a `podSpec` does not fit.
    """
    if saved.kind == "skill":
        return listed(_of_skill(saved, place, cold=cold))
    names = dict.fromkeys(reference.skill_name for reference in agent_from_json(saved.body).skills)
    found: list[dict[str, Any]] = []
    for name in names:
        skill = definitions.find(sql, saved.project_id, "skill", name, None if versions is None else versions[name])
        if skill is None:
            raise NotFound(f"agent '{saved.name}': its skill '{name}' is not saved.", hint="Save the skill first.")
        found += _of_skill(skill, place, cold=cold)
    return listed(found)


def of_task(sql: Sql, task: Task, place: Place) -> dict[str, Any]:
    """Return what would run on Kubernetes in place of a task; raise InvalidInput when that is nothing."""
    activation = activations.find(sql, task.activation_id) if task.activation_id else None
    version = activation.pins["skills"].get(task.skill_name) if activation is not None else None
    saved = definitions.find(sql, task.project_id, "skill", task.skill_name, version)
    skill = skill_from_json(saved.body) if saved is not None else None
    action = skill.action(task.action_name) if skill is not None else None
    if saved is None or skill is None or action is None:
        raise InvalidInput(
            f"task {task.name} runs no program of its own.",
            hint="Only tasks of jobs and daemons would run on Kubernetes.",
        )
    if activation is not None and activation.cold:
        action = replace(action, warm=None)
    attempt = replace(task, attempt=max(1, task.attempt))
    spec = AttemptSpec(name=attempt.attempt_name, processes=(), labels=labels_of(attempt, task.activation_id or ""))
    return listed(_objects(saved, skill, action, spec, place))


def _of_skill(saved: SavedDefinition, place: Place, *, cold: bool) -> Iterator[dict[str, Any]]:
    skill = skill_from_json(saved.body)
    for action in skill.actions:
        action = replace(action, warm=None) if cold else action
        labels = {"project": saved.project_id, "skill": skill.name, "action": action.name}
        spec = AttemptSpec(name="-".join(labels.values()), processes=(), labels=labels)
        yield from _objects(saved, skill, action, spec, place)


def _objects(
    saved: SavedDefinition, skill: Skill, action: Action, spec: AttemptSpec, place: Place
) -> Iterable[dict[str, Any]]:
    """Return the objects of an attempt of an action, whose name and labels `spec` has, and its `k8sResources`.

    Of an action with `warm`, these are the objects of a pod that takes its attempts.
    """
    process = program_of(saved, action)
    if not process.image and action.api is None:
        process = replace(process, image=default_image(skill.name, action.name).lower())
    spec = replace(spec, processes=(process,))
    return [*(json.loads(text) for text in action.k8s_resources), *_own(skill, action, spec, place)]


def _own(skill: Skill, action: Action, spec: AttemptSpec, place: Place) -> list[dict[str, Any]]:
    if action.type == "daemon":
        spec = as_daemon(spec, action, port_of(skill.defaults(), action), INSIDE)
        make = (daemon_manifest.secret, daemon_manifest.deployment, daemon_manifest.service)
        return [each(spec, place.around) for each in make]
    in_file = action.message == "file" and action.receives != "stream"
    spec = replace(spec, files={PAYLOAD_FILE: LEFT_OUT.encode()} if in_file else {}, timeout=action.timeout or 0.0)
    attempt = f"{spec.labels['task']}-{spec.name.rpartition('-')[2]}" if "task" in spec.labels else ""
    spec = with_message(spec, action, LEFT_OUT, Issued(token=LEFT_OUT, inside=INSIDE, argv_bytes=0, attempt=attempt))
    if action.api is not None:
        content = {"place": "kubernetes", "job": LEFT_OUT}
        spec = with_worker(spec, content, action.api, INSIDE.files, place.worker_image)
        spec = replace(spec, files=dict.fromkeys(spec.files, LEFT_OUT.encode()))
    words = words_of(spec.processes[0])
    if spec.processes[0].warm is not None and not pool_manifest.unfit(spec, words):
        pool = {**NO_POOL, "idle": pool_settings.idle_seconds()}
        return list(
            pool_manifest.objects(PoolProgram(spec=spec, words=words, around=place.around), pool, NO_NUMBER)[1:]
        )
    return [group_manifest.secret(spec, words, place.around), group_manifest.job(spec, words, place.around)]

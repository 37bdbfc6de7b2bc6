"""Renders what of a skill would run on Kubernetes, as plain values. Pure: nothing here asks a cluster (docs/howto/describe.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from fabric_jobs.definitions import Action, Resources, Skill
from fabric_jobs.errors import InvalidInput, NotThereYet

DAEMON_PORT = 5000  # of a daemon that declares none
LONGEST = 52  # of a name: 63 allowed, and a suffix of the Job controller and of the pod follow
MESSAGE, TOKEN = "message", "token"  # keys of the Secret with the message, which has a token
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What the objects belong to."""

    project: str
    skill: str
    images: Mapping[str, str]  # of every action


def skill_manifests(skill: Skill, owner: Owner) -> dict[str, Any]:
    """Return the objects of a skill as a List; raise InvalidInput when a `podSpec` does not fit, NotThereYet for an API."""
    return listed(item for action in skill.actions for item in action_manifests(action, owner, skill.defaults()))


def action_manifests(action: Action, owner: Owner, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of one action, with its `k8sResources`."""
    own = [_job(action, owner, "")] if action.type == "job" else _daemon(action, owner, properties)
    return own + [json.loads(text) for text in action.k8s_resources]


def task_manifest(action: Action, owner: Owner, attempt: str) -> dict[str, Any]:
    """Return the Job of one attempt of a job."""
    return _job(action, owner, attempt)


def listed(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return objects as one, which `kubectl create` takes."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def object_name(*words: str) -> str:
    """Return words as the name of an object: lower-case letters, digits and '-'; cut words end in a hash of the whole."""
    text = "-".join(words)
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
    if len(name) <= LONGEST:
        return name
    mark = blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{name[: LONGEST - len(mark) - 1].rstrip('-')}-{mark}"


def _job(action: Action, owner: Owner, attempt: str) -> dict[str, Any]:
    """Return a Job. Each attempt is one, so it retries nothing itself; without an attempt, Kubernetes makes the name."""
    if action.api is not None:
        raise NotThereYet(
            f"'{owner.skill}' is a {action.api.kind}, and its workers do not run on Kubernetes yet.",
            hint="Run it with '--executor local' or '--executor docker'.",
        )
    base = object_name(owner.project, owner.skill, action.name)
    named = {"name": object_name(attempt)} if attempt else {"generateName": f"{base}-"}
    secret = f"{named['name'] if attempt else base}-message"
    variables = [
        _from_secret("CORTEX_PAYLOAD", secret, MESSAGE),
        _from_secret("CORTEX_TOKEN", secret, TOKEN),
        {"name": "CORTEX_PROJECT", "value": owner.project},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
    ]
    container = _container(action, owner, variables)
    container["args"] = ["$(CORTEX_PAYLOAD)"]  # Kubernetes replaces it; the message is the last argument in every place
    pod = patched({"restartPolicy": "Never", "containers": [container]}, action.pod_spec, f"action '{action.name}'")
    labels = _labels(action, owner)
    spec: dict[str, Any] = {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if action.timeout is not None:
        spec["activeDeadlineSeconds"] = max(1, round(action.timeout))
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {**named, "labels": labels}, "spec": spec}


def _daemon(action: Action, owner: Owner, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a Deployment and a Service of the same name, which is the host that Fabric calls."""
    name = object_name(owner.project, owner.skill, action.name)
    port = int(str(properties.get("daemon.port") or action.port or DAEMON_PORT))
    labels = _labels(action, owner)
    container = _container(action, owner, [{"name": "PORT", "value": str(port)}])
    container["ports"] = [{"name": "http", "containerPort": port}]
    pod = patched({"containers": [container]}, action.pod_spec, f"action '{action.name}'")
    metadata = {"name": name, "labels": labels}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": action.scale_count,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    ports = [{"name": "http", "port": port, "targetPort": "http"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": labels, "ports": ports},
    }
    return [deployment, service]


def _container(action: Action, owner: Owner, variables: list[dict[str, Any]]) -> dict[str, Any]:
    given = [{"name": name, "value": _literal(value)} for name, value in action.environment.items()]
    container: dict[str, Any] = {
        "name": object_name(action.name),
        "image": owner.images[action.name],
        "env": [*given, *variables],  # in this order, so that no definition replaces the message
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if action.command:
        container["command"] = [_literal(word) for word in action.command]
    if limits := _limits(action.resources):
        container["resources"] = {"limits": limits}
    return container


def _from_secret(name: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _literal(text: str) -> str:
    """Return a text that Kubernetes takes as it is: it would replace `$(NAME)`."""
    return text.replace("$(", "$$(")


def _limits(resources: Resources) -> dict[str, str]:
    found = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpu:
        found["nvidia.com/gpu"] = str(resources.gpu)
    return {name: value for name, value in found.items() if value}


def _labels(action: Action, owner: Owner) -> dict[str, str]:
    words = {"project": owner.project, "skill": owner.skill, "action": action.name}
    return {
        "app.kubernetes.io/managed-by": "fabric-jobs",
        **{f"fabric-jobs/{key}": object_name(value) for key, value in words.items()},
    }


def patched(pod: dict[str, Any], patches: Iterable[Mapping[str, Any]], what: str) -> dict[str, Any]:
    """Return a pod with a `podSpec`: each item is put at its path, as `add` of RFC 6902 does.

    Raises InvalidInput for a path that leads nowhere; its text begins with `what`.
    """
    for patch in patches:
        try:
            pod = _added(pod, patch["path"], deepcopy(patch["value"]))
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidInput(
                f"{what}: nothing can be added at '{patch['path']}' of its podSpec.",
                hint="All but the last part of the path has to be there; '-' adds to the end of a list.",
            ) from error
    return pod


def _added(document: Any, pointer: str, value: Any) -> Any:
    """Return a document with a value at a JSON pointer; raise KeyError, IndexError or TypeError when there is no such place."""
    if not pointer:
        return value
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    place = changed = deepcopy(document)
    for part in path:
        place = place[part] if isinstance(place, dict) else place[_index(part, len(place) - 1)]
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list):
        place.insert(len(place) if last == "-" else _index(last, len(place)), value)
    else:
        raise TypeError(last)
    return changed


def _index(text: str, highest: int) -> int:
    if not INDEX.fullmatch(text) or int(text) > highest:
        raise IndexError(text)
    return int(text)

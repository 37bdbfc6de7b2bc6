"""Describes the Job and the Secret of an attempt. Pure: specs in, dicts out.

A pod whose program line is known is started by the runtime layer (`fabric_pod`), which keeps stdout and stderr apart and sends
them to the gateway, and which fetches files. Any other one (`Form.PLAIN`) is started by its image.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_jobs.executors.base import AttemptSpec, Limits, ProcessSpec
from fabric_jobs.executors.kubernetes import layer
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.manifests import object_name, patched

MANAGED = "app.kubernetes.io/managed-by"
MANAGER = "fabric-jobs"
PREFIX = "fabric-jobs/"
OWNER, ATTEMPT = f"{PREFIX}owner", f"{PREFIX}attempt"  # labels by which objects are found again
QUEUE = "kueue.x-k8s.io/queue-name"

# Paths in a pod.
FILES_INSIDE = "/run/fabric-jobs/files"
ORDER_DIRECTORY = "/run/fabric-jobs/order"
ORDER = "order.json"
WORK_DIRECTORY = "/run/fabric-jobs/work"  # logs on their way, and the project

MOST_BYTES = 900_000  # of a Secret; the cluster allows 1 MiB
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TTL_SECONDS = 3600  # after which the cluster deletes what nobody has deleted
VARIABLES = {"PYTHONUNBUFFERED": "1"}
NO_MESH = {"START_WITHOUT_ENVOY": "true", "SCUTTLE_LOGGING": "false"}


@dataclass(frozen=True, kw_only=True)
class Around:
    """What all pods of an executor have in common."""

    owner: str
    gateway: str = ""  # http://HOST:PORT as pods see it
    queue: str = ""  # of Kueue; empty: none
    mesh: bool = False  # Istio injects a sidecar
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # added to every object


def job_name(owner: str, attempt: str, *, plain: bool = False) -> str:
    """Return the name of the Job of an attempt, and of its Secret."""
    return object_name("fj", owner, attempt, *(["plain"] if plain else []))


def order(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return what `fabric_pod` is told: the program line, its variables, and where its gateway is."""
    process = spec.processes[0]
    return {
        "words": [*words, *process.arguments],
        "environment": {
            **VARIABLES,
            **({} if around.mesh else NO_MESH),
            **process.environment,
            "FABRIC_JOBS_WORKSPACE": "",
        },
        "gateway": around.gateway,
        "attempt": process.environment.get("FABRIC_JOBS_ATTEMPT", ""),
        "token": process.environment.get("CORTEX_TOKEN", ""),
        "files": sorted(spec.files),
        "directory": FILES_INSIDE,
        "work": WORK_DIRECTORY,
        "project": process.is_project,
        "port": process.port,
    }


def secret(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return the Secret of an attempt. Without `words`, its values are the variables of the image's own program."""
    data = {ORDER: json.dumps(order(spec, words, around))} if words else _variables(spec, around)
    found = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": job_name(around.owner, spec.name, plain=not words), "labels": labels(spec, around)},
        "stringData": data,
    }
    if not words:
        found["data"] = {_key(name): base64.b64encode(content).decode() for name, content in spec.files.items()}
    return found


def job(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return the Job of an attempt: one pod, started once; whoever reads its end decides about another attempt."""
    process = spec.processes[0]
    named = labels(spec, around)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_launched(spec) if words else _plain(spec, around)],
        "volumes": _volumes(spec, around, launched=bool(words)),
    }
    if not words:
        pod["shareProcessNamespace"] = True  # as process 1 it would ignore TERM
    if around.service_account:
        pod["serviceAccountName"] = around.service_account
    if around.pull_secrets:
        pod["imagePullSecrets"] = [{"name": each} for each in around.pull_secrets]
    pod = patched(pod, process.pod_spec, "the pod")
    body: dict[str, Any] = {
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "template": {"metadata": {"labels": named, "annotations": notes(spec)}, "spec": pod},
    }
    if around.queue:
        body["suspend"] = True  # Kueue lets it go
    metadata = {
        "name": job_name(around.owner, spec.name, plain=not words),
        "labels": named,
        "annotations": notes(spec),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}


def labels(spec: AttemptSpec, around: Around) -> dict[str, str]:
    """Return the labels of all objects of an attempt. Values that labels cannot have are shortened to a hash."""
    found = {MANAGED: MANAGER, **around.labels, OWNER: around.owner, ATTEMPT: object_name(spec.name)}
    found |= {f"{PREFIX}{key}": object_name(value) for key, value in spec.labels.items() if value}
    if around.queue:
        found[QUEUE] = around.queue
    if not around.mesh:
        found["sidecar.istio.io/inject"] = "false"
    return found


def notes(spec: AttemptSpec) -> dict[str, str]:
    """Return the annotations of all objects of an attempt: its name and labels, whole."""
    return {ATTEMPT: spec.name, **{f"{PREFIX}{key}": value for key, value in spec.labels.items() if value}}


def _launched(spec: AttemptSpec) -> dict[str, Any]:
    words = ["python3", "-I", "-S", layer.PATH, f"{ORDER_DIRECTORY}/{ORDER}"]
    found = _container(spec.processes[0], words, [])
    found["volumeMounts"] += [
        {"name": "order", "mountPath": ORDER_DIRECTORY, "readOnly": True},
        {"name": "files", "mountPath": FILES_INSIDE},
        {"name": "work", "mountPath": WORK_DIRECTORY},
    ]
    return found


def _plain(spec: AttemptSpec, around: Around) -> dict[str, Any]:
    process = spec.processes[0]
    arguments = [f"$({_argument(number)})" for number in range(len(process.arguments))]
    found = _container(process, [_literal(word) for word in process.command], arguments)
    found["envFrom"] = [{"secretRef": {"name": job_name(around.owner, spec.name, plain=True)}}]
    if spec.files:
        found["volumeMounts"].append({"name": "files", "mountPath": FILES_INSIDE, "readOnly": True})
    return found


def _container(process: ProcessSpec, command: list[str], arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": PROGRAM,
        "image": process.image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "runtime", "mountPath": layer.DIRECTORY, "readOnly": True}],
    }
    if command:
        found["command"] = command
    if arguments:
        found["args"] = arguments
    if limits := limits_of(process.limits):
        found["resources"] = {"limits": limits}
    if process.port:
        found["ports"] = [{"name": "http", "containerPort": process.port}]
    if process.limits.shm:
        found["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})
    return found


def _volumes(spec: AttemptSpec, around: Around, *, launched: bool) -> list[dict[str, Any]]:
    name = job_name(around.owner, spec.name, plain=not launched)
    found: list[dict[str, Any]] = [{"name": "runtime", "configMap": {"name": layer.name()}}]
    if launched:
        found += [
            {"name": "order", "secret": {"secretName": name}},
            {"name": "files", "emptyDir": {}},
            {"name": "work", "emptyDir": {}},
        ]
    elif spec.files:
        items = [{"key": _key(file), "path": file} for file in sorted(spec.files)]
        found.append({"name": "files", "secret": {"secretName": name, "items": items}})
    if shm := spec.processes[0].limits.shm:
        found.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(shm)}})
    return found


def _variables(spec: AttemptSpec, around: Around) -> dict[str, str]:
    """Return the values of the Secret of a plain attempt: its variables and arguments; the caller adds its files."""
    process = spec.processes[0]
    found = {**VARIABLES, **({} if around.mesh else NO_MESH), **process.environment, "FABRIC_JOBS_WORKSPACE": ""}
    own = process.environment.get("PYTHONPATH", "")
    found["PYTHONPATH"] = f"{layer.PATH}:{own}" if own else layer.PATH
    if process.port:
        found["PORT"] = str(process.port)
    found |= {_argument(number): word for number, word in enumerate(process.arguments)}
    return {key: value for key, value in found.items() if NAME.fullmatch(key)}


def _key(file: str) -> str:
    return f"file.{file}"


def _argument(number: int) -> str:
    return f"FABRIC_JOBS_ARGUMENT_{number}"


def _literal(text: str) -> str:
    """Return a text that Kubernetes takes as it is: it would replace `$(NAME)`."""
    return text.replace("$(", "$$(")


def limits_of(limits: Limits) -> dict[str, str]:
    """Return limits in the words of Kubernetes."""
    found = {}
    if limits.cpu:
        found["cpu"] = f"{round(limits.cpu * 1000)}m"
    if limits.memory:
        found["memory"] = str(limits.memory)
    if limits.gpu:
        found["nvidia.com/gpu"] = str(limits.gpu)
    return found

"""Describes the Job and the Secret of an attempt of one container or of several. Pure: specs in, dicts out.

Of several processes the first one is a native sidecar, and the others are the pod's containers. So it runs before they start, and
until they have ended. The cluster starts a sidecar again when it ends; `once` in its order keeps its program from running twice.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec, Health, ProcessSpec
from fabric_jobs.executors.kubernetes import manifest
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.manifests import literal, object_name

LOOPBACK = "127.0.0.1"
LOW_PORTS = {
    "name": "net.ipv4.ip_unprivileged_port_start",
    "value": "0",
}  # one of the sysctls that every cluster allows
PLACED = "fj-placed"  # the volume of files that are there at the start; it is that of a Secret
READABLE = 0o444
HEALTH_GRACE_SECONDS = 1  # for one that is not well; the least that there is


def job(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return the Job of an attempt. Raises InvalidInput."""
    found = manifest.job(spec, words, around)
    pod = found["spec"]["template"]["spec"]
    if spec.hosts:
        _lead_home(pod, spec.hosts)
    if len(spec.processes) > 1:
        if not words:
            raise InvalidInput("the first of several programs needs a command.")
        _group(pod, spec, str(found["metadata"]["name"]), around)
    return found


def secret(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return the Secret of an attempt."""
    found = manifest.secret(spec, words, around)
    if len(spec.processes) > 1:
        order = {**manifest.order(spec, words, around), "once": True}
        variables = {
            key: process.environment[name]
            for number, process in enumerate(spec.processes[1:], start=1)
            for name, key in _keys(number, process).items()
        }
        found["stringData"] = {**found["stringData"], manifest.ORDER: json.dumps(order), **variables}
        placed = {
            _key(number): base64.b64encode(spec.files[name]).decode()
            for number, (_, name) in enumerate(spec.placed.items())
        }
        if placed:
            found["data"] = {**found.get("data", {}), **placed}
    return found


def container_names(spec: AttemptSpec) -> tuple[str, ...]:
    """Return the name of the container of each process; each is another one."""
    names = [PROGRAM]
    for number, process in enumerate(spec.processes[1:], start=1):
        name = object_name(process.name or "container")
        names.append(name if process.name and name not in names else f"{name}-{number}")
    return tuple(names)


def _lead_home(pod: dict[str, Any], hosts: tuple[str, ...]) -> None:
    """Let names lead to the pod itself, whose programs may listen on low ports."""
    pod["hostAliases"] = [*pod.get("hostAliases", ()), {"ip": LOOPBACK, "hostnames": list(hosts)}]
    security = pod.setdefault("securityContext", {})
    security["sysctls"] = [*security.get("sysctls", ()), LOW_PORTS]


def _group(pod: dict[str, Any], spec: AttemptSpec, name: str, around: Around) -> None:
    """Make a pod of several containers of a pod of one; `name` is that of its Secret."""
    worker = next(each for each in pod["containers"] if each["name"] == PROGRAM)
    pod["containers"].remove(worker)
    worker["restartPolicy"] = "Always"
    pod["initContainers"] = [*pod.get("initContainers", ()), worker]
    pod["shareProcessNamespace"] = True  # as process 1 a program would ignore TERM
    names = container_names(spec)
    beside = []
    for number, process in enumerate(spec.processes[1:], start=1):
        beside.append(_beside(number, process, names[number]))
        beside[-1]["env"] = _env(number, process, name, around)
    pod["containers"] = [*beside, *pod["containers"]]
    common = _common_mounts(spec)
    for each in (worker, *beside):
        each["volumeMounts"] = [*each.get("volumeMounts", ()), *common]
    pod["volumes"] = [*pod.get("volumes", ()), *_volumes(spec, name)]


def _beside(number: int, process: ProcessSpec, name: str) -> dict[str, Any]:
    """Return the container of one of the other processes. It has neither the files nor the ways to the gateway."""
    found: dict[str, Any] = {
        "name": name,
        "image": process.image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    words = [literal(word) for word in (*process.command, *process.arguments)]
    if words:
        found["command"] = words
    limits = process.limits
    resources = {"limits": manifest.limits_of(limits)}
    if limits.reserved_cpu:
        resources["requests"] = {"cpu": f"{math.ceil(limits.reserved_cpu * 1000)}m"}
    if any(resources.values()):
        found["resources"] = {key: value for key, value in resources.items() if value}
    if process.health is not None:
        found["livenessProbe"] = _probe(process.health)
    if limits.shm:
        found["volumeMounts"] = [{"name": _shm(number), "mountPath": "/dev/shm"}]
    return found


def _env(number: int, process: ProcessSpec, secret: str, around: Around) -> list[dict[str, Any]]:
    """Return the variables of one of the other processes; its own are in the Secret, as those of the first one are."""
    common = manifest.common_variables(around, launched=True)
    keys = _keys(number, process)
    return [
        *({"name": name, "value": value} for name, value in common.items() if name not in keys),
        *({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for name, key in keys.items()),
    ]


def _keys(number: int, process: ProcessSpec) -> dict[str, str]:
    """Return where the Secret has each variable of one of the other processes."""
    return {name: f"variable.{number}.{place}" for place, name in enumerate(sorted(process.environment))}


def _probe(health: Health) -> dict[str, Any]:
    """Return a probe in whole seconds, which is all that a cluster knows."""
    return {
        "exec": {"command": list(health.command)},
        "initialDelaySeconds": math.ceil(health.delay),
        "periodSeconds": max(1, math.ceil(health.period)),
        "timeoutSeconds": max(1, math.ceil(health.timeout)),
        "failureThreshold": max(1, health.failures),
        "terminationGracePeriodSeconds": HEALTH_GRACE_SECONDS,
    }


def _common_mounts(spec: AttemptSpec) -> list[dict[str, Any]]:
    shared = [{"name": _shared(number), "mountPath": path} for number, path in enumerate(spec.shared)]
    placed = [
        {"name": PLACED, "mountPath": path, "subPath": _key(number), "readOnly": True}
        for number, path in enumerate(spec.placed)
    ]
    return [*shared, *placed]


def _volumes(spec: AttemptSpec, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": _shared(number), "emptyDir": {}} for number in range(len(spec.shared))]
    if spec.placed:
        items = [{"key": _key(number), "path": _key(number)} for number in range(len(spec.placed))]
        found.append({"name": PLACED, "secret": {"secretName": name, "items": items, "defaultMode": READABLE}})
    for number, process in enumerate(spec.processes[1:], start=1):
        if process.limits.shm:
            size = str(process.limits.shm)
            found.append({"name": _shm(number), "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    return found


def _key(number: int) -> str:
    return f"placed.{number}"


def _shared(number: int) -> str:
    return f"fj-shared-{number}"


def _shm(number: int) -> str:
    return f"fj-shm-{number}"

"""Describes the Job and the Secret of an attempt. Pure: specs in, dicts out. `describe` and dry runs show the same objects.

A pod whose program line is known is started by the runtime layer (`fabric_pod`), which keeps stdout and stderr apart and sends
them to the gateway, and which fetches files. Any other one is "plain": its image starts its program.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec, Limits, ProcessSpec
from fabric_jobs.executors.kubernetes import layer, mesh
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.manifests import literal, object_name, patched

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
# Volumes of a pod: names that a `podSpec` does not have.
RUNTIME, ORDERS, FILES, WORK, SHM = "fj-runtime", "fj-order", "fj-files", "fj-work", "fj-shm"

MOST_BYTES = 900_000  # of a Secret; the cluster allows 1 MiB
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TTL_SECONDS = 24 * 3600  # after which the cluster deletes what nobody has read and deleted
SPARE_SECONDS = 3600  # of the cluster after twice the timeout, which whoever starts a program watches
LISTS = ("volumes", "initContainers", "tolerations", "hostAliases")  # of a pod to which a `podSpec` may add
LISTS_OF_PROGRAM = ("env", "envFrom", "volumeMounts")
PATIENCE_SECONDS = 300.0  # with a gateway that is away, before files arrive and after the program has ended
VARIABLES = {"PYTHONUNBUFFERED": "1"}
HOME = {"HOME": "/tmp"}  # of a user unknown to the image


def job_name(owner: str, attempt: str, *, plain: bool = False) -> str:
    """Return the name of the Job of an attempt, and of its Secret."""
    return object_name("fj", owner, attempt, *(["plain"] if plain else []))


def order(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return what `fabric_pod` is told: the program line, its variables, and where its gateway is."""
    process = spec.processes[0]
    return {
        "words": [*words, *process.arguments],
        "environment": _environment(process, around, launched=True),
        "gateway": around.gateway,
        "attempt": process.environment.get("FABRIC_JOBS_ATTEMPT", ""),
        "token": process.environment.get("CORTEX_TOKEN", ""),
        "files": sorted(spec.files),
        "directory": FILES_INSIDE,
        "work": WORK_DIRECTORY,
        "project": process.is_project,
        "port": process.port,
        "patience": PATIENCE_SECONDS,
    }


def secret(spec: AttemptSpec, words: tuple[str, ...], around: Around, name: str = "") -> dict[str, Any]:
    """Return the Secret of an attempt. Without `words`, its values are the variables of the image's own program."""
    data = {ORDER: json.dumps(order(spec, words, around))} if words else _variables(spec, around)
    found = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name or job_name(around.owner, spec.name, plain=not words),
            "labels": labels(spec, around),
            "annotations": notes(spec),
        },
        "stringData": data,
    }
    if not words and spec.files:
        found["data"] = {_key(file): base64.b64encode(content).decode() for file, content in spec.files.items()}
    return found


def job(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return the Job of an attempt: one pod, started once; whoever reads its end decides about another attempt.

    Raises InvalidInput for a `podSpec` that does not fit.
    """
    name = job_name(around.owner, spec.name, plain=not words)
    pod = template(spec, words, around, name)
    pod["spec"]["restartPolicy"] = "Never"
    if spec.timeout:  # of the pod, not the Job, since waiting for a node is not the program's time
        pod["spec"]["activeDeadlineSeconds"] = math.ceil(2 * spec.timeout) + SPARE_SECONDS
    body: dict[str, Any] = {
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "template": pod,
    }
    named = labels(spec, around)
    if around.queue:
        body["suspend"] = True  # until Kueue lets it go
        named[QUEUE] = pod["metadata"]["labels"][QUEUE] = around.queue
    metadata = {"name": name, "labels": named, "annotations": notes(spec)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}


def template(
    spec: AttemptSpec, words: tuple[str, ...], around: Around, name: str, ready: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the template of a pod that runs a spec, for a Job or a Deployment; `name` is that of its Secret.

    `ready` is the readiness probe of its program. What the settings say comes first; then the action's `podSpec` may change it;
    what the runtime layer needs comes last. Raises InvalidInput for a `podSpec` that does not fit.
    """
    pod = _base(spec, words, around)
    if ready is not None:
        pod["containers"][0]["readinessProbe"] = ready
    pod = _with_pod_spec(pod, spec)
    pod.setdefault("automountServiceAccountToken", "serviceAccountName" in pod)
    (program,) = _programs(pod)
    mounts, volumes = _mounted(spec, name, launched=bool(words))
    program["volumeMounts"] = [*program.get("volumeMounts", ()), *mounts]
    pod["volumes"] = [*pod.get("volumes", ()), *volumes]
    if not words:
        program["envFrom"] = [*program.get("envFrom", ()), {"secretRef": {"name": name}}]
    return {
        "metadata": {
            "labels": {**labels(spec, around), **mesh.labels(around.mesh)},
            "annotations": {**notes(spec), **mesh.notes(around.mesh)},
        },
        "spec": pod,
    }


def labels(spec: AttemptSpec, around: Around) -> dict[str, str]:
    """Return the labels of all objects of an attempt. Values that labels cannot have are shortened to a hash."""
    found = {MANAGED: MANAGER, OWNER: around.owner, ATTEMPT: object_name(spec.name)}
    return found | {f"{PREFIX}{key}": object_name(value) for key, value in spec.labels.items() if value}


def notes(spec: AttemptSpec) -> dict[str, str]:
    """Return the annotations of all objects of an attempt: its name and labels, whole."""
    return {ATTEMPT: spec.name, **{f"{PREFIX}{key}": value for key, value in spec.labels.items() if value}}


def _base(spec: AttemptSpec, words: tuple[str, ...], around: Around) -> dict[str, Any]:
    """Return a pod as far as a `podSpec` may change it."""
    pod: dict[str, Any] = {
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(spec.processes[0], launched=bool(words))],
    }
    if around.user:
        ids = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), around.user)
        pod["securityContext"] |= {"runAsNonRoot": True, **ids}
    if not words:
        pod["shareProcessNamespace"] = True  # as process 1 it would ignore TERM
    if around.service_account:
        pod["serviceAccountName"] = around.service_account
    if around.pull_secrets:
        pod["imagePullSecrets"] = [{"name": each} for each in around.pull_secrets]
    if around.node_selector:
        pod["nodeSelector"] = dict(around.node_selector)
    return pod


def _with_pod_spec(pod: dict[str, Any], spec: AttemptSpec) -> dict[str, Any]:
    """Return a pod with the `podSpec` of an action. Lists that it may add to are there, and gone again if they stay empty."""
    patches = spec.processes[0].pod_spec
    if not patches:
        return pod
    what = f"action '{spec.labels['action']}'" if "action" in spec.labels else spec.name
    pod |= {key: [] for key in LISTS}
    pod["containers"][0] |= {key: [] for key in LISTS_OF_PROGRAM}
    pod = patched(pod, patches, what)
    programs = _programs(pod)
    if len(programs) != 1:
        raise InvalidInput(
            f"{what}: its podSpec leaves no container '{PROGRAM}'.",
            hint="The first container is the action's program; its name must stay.",
        )
    for part, keys in ((pod, LISTS), (programs[0], LISTS_OF_PROGRAM)):
        for key in keys:
            if not isinstance(part.get(key, []), list):
                raise InvalidInput(f"{what}: '{key}' of its podSpec is not a list.")
            if not part.get(key):
                part.pop(key, None)
    return pod


def _programs(pod: Any) -> list[dict[str, Any]]:
    """Return the containers that have the program's name; a `podSpec` may have made anything of the pod."""
    containers = pod.get("containers") if isinstance(pod, dict) else None
    found = containers if isinstance(containers, list) else []
    return [each for each in found if isinstance(each, dict) and each.get("name") == PROGRAM]


def _container(process: ProcessSpec, *, launched: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": PROGRAM,
        "image": process.image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if launched:
        found["command"] = ["python3", "-I", "-S", layer.PATH, f"{ORDER_DIRECTORY}/{ORDER}"]
    elif process.command:
        found["command"] = [literal(word) for word in process.command]
    if not launched and process.arguments:
        found["args"] = [f"$({_argument(number)})" for number in range(len(process.arguments))]
    if limits := limits_of(process.limits):
        found["resources"] = {"limits": limits}
    if process.port:
        found["ports"] = [{"name": "http", "containerPort": process.port}]
    return found


def _mounted(spec: AttemptSpec, name: str, *, launched: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the mounts of a program and their volumes; `name` is that of the Secret."""
    mounts: list[dict[str, Any]] = [{"name": RUNTIME, "mountPath": layer.DIRECTORY, "readOnly": True}]
    volumes: list[dict[str, Any]] = [{"name": RUNTIME, "configMap": {"name": layer.name()}}]
    if launched:
        mounts += [
            {"name": ORDERS, "mountPath": ORDER_DIRECTORY, "readOnly": True},
            {"name": FILES, "mountPath": FILES_INSIDE},
            {"name": WORK, "mountPath": WORK_DIRECTORY},
        ]
        volumes += [
            {"name": ORDERS, "secret": {"secretName": name}},
            {"name": FILES, "emptyDir": {}},
            {"name": WORK, "emptyDir": {}},
        ]
    elif spec.files:
        items = [{"key": _key(file), "path": file} for file in sorted(spec.files)]
        mounts.append({"name": FILES, "mountPath": FILES_INSIDE, "readOnly": True})
        volumes.append({"name": FILES, "secret": {"secretName": name, "items": items}})
    if shm := spec.processes[0].limits.shm:
        mounts.append({"name": SHM, "mountPath": "/dev/shm"})
        volumes.append({"name": SHM, "emptyDir": {"medium": "Memory", "sizeLimit": str(shm)}})
    return mounts, volumes


def common_variables(around: Around, *, launched: bool) -> dict[str, str]:
    """Return the variables of every program, unless it has others of these names. None of them is a secret."""
    return {**VARIABLES, **(HOME if around.user else {}), **mesh.variables(around.mesh, launched=launched)}


def _environment(process: ProcessSpec, around: Around, *, launched: bool) -> dict[str, str]:
    return {**common_variables(around, launched=launched), **process.environment, "FABRIC_JOBS_WORKSPACE": ""}


def _variables(spec: AttemptSpec, around: Around) -> dict[str, str]:
    """Return the values of the Secret of a plain attempt: its variables and arguments; the caller adds its files."""
    process = spec.processes[0]
    found = _environment(process, around, launched=False)
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

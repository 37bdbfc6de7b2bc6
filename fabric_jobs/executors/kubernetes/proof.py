"""Tests whether pods reach the gateway, with a short pod of an image that is to run."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import probe
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import manifest, pods
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.events import newest_warning
from fabric_jobs.kubernetes.failures import Conflict, Missing

PATIENCE_SECONDS = 30.0  # for a node, the image and the check; a pod that has not ended by then has proved nothing
LIFE_SECONDS = 60  # of what a killed owner leaves, once it has ended and before
LABEL = f"{manifest.PREFIX}probe"
HINT = (
    "Open the firewall between the nodes and this machine, or run serve with --host 0.0.0.0 --advertise http://HOST:PORT, "
    "where HOST is this machine as pods know it."
)


async def prove(cluster: Cluster, image: str, around: Around) -> str:
    """Let a pod of an image ask the gateway. Return "" if it reaches it, else why it could not try, such as without Python.

    Raises InvalidInput if it cannot reach the gateway.
    """
    body = job(image, around, secrets.token_hex(3))
    name = body["metadata"]["name"]
    labels = f"{LABEL}={name}"
    try:
        made = await cluster.create("jobs", body)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                pod = await _ended(cluster, labels)
        except TimeoutError:
            return await _waiting(cluster, labels, made)
    except (ExecutorUnavailable, InvalidInput) as error:
        return error.message
    except (Missing, Conflict) as error:
        return str(error)
    finally:
        with suppress(ExecutorUnavailable, InvalidInput, Missing, Conflict):
            await cluster.delete("jobs", name)
    found = pods.seen(pod).ended if pod is not None else None
    if pod is None or found is None:
        return "its pod was deleted"
    if found.code == probe.UNREACHED:
        raise InvalidInput(
            f"a pod in the cluster at {cluster.url} cannot reach this gateway at {around.gateway}: {_said(pod)}.",
            hint=HINT,
        )
    return "" if found.code == 0 else found.cause or f"its program ended with {found.code}"


def job(image: str, around: Around, mark: str) -> dict[str, Any]:
    """Return the Job of a probe; `mark` makes its name unique. Its pod is like those of attempts, without their Secret."""
    name = f"fj-{around.owner}-probe-{mark}"
    process = ProcessSpec(directory=None, command=tuple(probe.command(around.gateway)), image=image)
    pod = manifest.template(AttemptSpec(name=name, processes=(process,)), (), around, name)
    pod["metadata"]["labels"] = {**_without(pod["metadata"]["labels"]), LABEL: name}
    pod["metadata"]["annotations"] = _without(pod["metadata"]["annotations"])
    body = pod["spec"]
    program = next(each for each in body["containers"] if each["name"] == pods.PROGRAM)
    program["terminationMessagePolicy"] = "FallbackToLogsOnError"
    for key in ("envFrom", "volumeMounts"):
        program.pop(key, None)
    body["volumes"] = []
    body["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": pod["metadata"]["labels"]},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": LIFE_SECONDS,
            "ttlSecondsAfterFinished": LIFE_SECONDS,
            "template": pod,
        },
    }


async def _ended(cluster: Cluster, labels: str) -> Object | None:
    """Return the pod once it has ended; None when somebody has deleted it."""
    while True:
        found, version = await cluster.list("pods", labels)
        for pod in found:
            if pods.seen(pod).ended is not None:
                return pod
        with suppress(Missing):
            async with cluster.watch("pods", labels, version, PATIENCE_SECONDS) as events:
                async for event, pod in events:
                    if event != "BOOKMARK" and pods.seen(pod).ended is not None:
                        return pod
                    if event == "DELETED":
                        return None


async def _waiting(cluster: Cluster, labels: str, made: Object) -> str:
    """Return in the cluster's own words why the pod of a probe has not ended, or why there is none."""
    found, _ = await cluster.list("pods", labels)
    for pod in found:
        seen = pods.seen(pod)
        return seen.refused or seen.doing or "it still runs"
    return await newest_warning(cluster, made) or "the cluster has made no pod"


def _said(pod: Object) -> str:
    for status in pods.statuses(pod.get("status") or {}):
        if status["name"] == pods.PROGRAM:
            ended = (status.get("state") or {}).get("terminated") or {}
            return " ".join(str(ended.get("message") or "no answer").split()).rstrip(".")
    return "no answer"


def _without(words: dict[str, str]) -> dict[str, str]:
    """Return labels or annotations without those by which attempts are found."""
    return {key: value for key, value in words.items() if key != manifest.ATTEMPT}

"""Tests whether pods reach the gateway, with a short pod of an image that is to run."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import probe
from fabric_jobs.executors.base import NOT_STARTED, AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import manifest, pods
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Conflict, Missing

PATIENCE_SECONDS = 30.0  # for a node, the image and the check; a pod that has not ended by then has proved nothing
LIFE_SECONDS = 60  # of what a killed owner leaves, once it has ended and before
LABEL = f"{manifest.PREFIX}probe"
HINT = (
    "Open the firewall between the nodes and this machine, or run serve with --host 0.0.0.0 --advertise http://HOST:PORT, "
    "where HOST is this machine as pods know it."
)

log = logging.getLogger(__name__)


async def prove(cluster: Cluster, image: str, around: Around) -> None:
    """Raise InvalidInput if a pod of an image cannot reach the gateway. What cannot be tried, such as without Python, passes."""
    body = job(image, around, secrets.token_hex(3))
    name = body["metadata"]["name"]
    try:
        await cluster.create("jobs", body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            pod = await _ended(cluster, f"{LABEL}={name}")
    except (ExecutorUnavailable, InvalidInput, Missing, Conflict, TimeoutError) as error:
        log.info(
            "the way from pods to the gateway at %s was not tried: %s", around.gateway, str(error) or "no time left"
        )
        return
    finally:
        with suppress(ExecutorUnavailable, InvalidInput, Missing, Conflict):
            await cluster.delete("jobs", name)
    if pod is None:
        return
    found = pods.seen(pod).ended
    if found is not None and found.code == probe.UNREACHED:
        raise InvalidInput(
            f"a pod in the cluster at {cluster.url} cannot reach this gateway at {around.gateway}: {_said(pod)}.",
            hint=HINT,
        )
    if found is not None and found.reason == NOT_STARTED:
        log.info("whether pods reach the gateway at %s was not tried: %s has no python3", around.gateway, image)


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
            async for event, pod in cluster.watch("pods", labels, version, PATIENCE_SECONDS):
                if event != "BOOKMARK" and pods.seen(pod).ended is not None:
                    return pod
                if event == "DELETED":
                    return None


def _said(pod: Object) -> str:
    for status in pods.statuses(pod.get("status") or {}):
        if status["name"] == pods.PROGRAM:
            ended = (status.get("state") or {}).get("terminated") or {}
            return " ".join(str(ended.get("message") or "no answer").split()).rstrip(".")
    return "no answer"


def _without(words: dict[str, str]) -> dict[str, str]:
    """Return labels or annotations without those by which attempts are found."""
    return {key: value for key, value in words.items() if key != manifest.ATTEMPT}

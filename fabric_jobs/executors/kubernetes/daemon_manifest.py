"""Describes the objects of a daemon: a Secret, a Service and a Deployment of one name. Pure: specs in, dicts out.

Its pods are started by their image, with or without Python, so every image can be a daemon.
"""

from __future__ import annotations

from typing import Any

from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.kubernetes import manifest
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.manifest import ATTEMPT, OWNER

PORT = "http"  # the name of the program's port
READY = {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3}


def secret(spec: AttemptSpec, around: Around) -> dict[str, Any]:
    """Return the Secret with its variables."""
    return manifest.secret(spec, (), around, name(spec, around))


def deployment(spec: AttemptSpec, around: Around) -> dict[str, Any]:
    """Return the Deployment: as many pods as the daemon has replicas; a pod is ready when its port is open.

    Raises InvalidInput for a `podSpec` that does not fit.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(spec, around),
        "spec": {
            "replicas": spec.replicas,
            "revisionHistoryLimit": 0,  # another version is another Deployment
            "selector": {"matchLabels": selector(spec, around)},
            "template": manifest.template(spec, (), around, name(spec, around), READY),
        },
    }


def service(spec: AttemptSpec, around: Around) -> dict[str, Any]:
    """Return the Service, whose address leads to the pods that are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec, around),
        "spec": {
            "selector": selector(spec, around),
            "ports": [{"name": PORT, "port": spec.processes[0].port, "targetPort": PORT}],
        },
    }


def selector(spec: AttemptSpec, around: Around) -> dict[str, str]:
    """Return the labels by which the pods of a daemon are told from all others."""
    labels = manifest.labels(spec, around)
    return {label: labels[label] for label in (OWNER, ATTEMPT)}


def name(spec: AttemptSpec, around: Around) -> str:
    """Return the name of the objects of a daemon."""
    return manifest.job_name(around.owner, spec.name)


def _metadata(spec: AttemptSpec, around: Around) -> dict[str, Any]:
    return {
        "name": name(spec, around),
        "labels": manifest.labels(spec, around),
        "annotations": manifest.notes(spec),
    }

"""The objects of a gateway in a cluster: those of the shipped deploy/kubernetes, with a namespace, an image and a volume."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, NamedTuple

from fabric_jobs import documents, shipped
from fabric_jobs.errors import InvalidInput
from fabric_jobs.kubernetes.cluster import Cluster, Where
from fabric_jobs.kubernetes.failures import Conflict, Missing, Rejected, RightMissing
from fabric_jobs.kubernetes.loop import CallLoop
from fabric_jobs.kubernetes.session import LOGIN_SECONDS

Object = dict[str, Any]

KINDS = {
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "StatefulSet": "statefulsets",
}

NAMESPACE = "fabric-jobs"
PORT = 8420  # of the Service
POD = "fabric-jobs-0"
APPLY_SECONDS = 60.0
RIGHTS = (
    "Apply as a user who may make all these objects in the namespace, Roles included: the ClusterRole 'admin' lets one."
)
CLAIM = "A volume keeps its size and class: leave --storage and --storage-class out, or give those of the first time."
PATTERNS = {
    "namespace": (r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a namespace has lower-case letters, digits and '-'"),
    "image": (
        r"[A-Za-z0-9][A-Za-z0-9._:/-]*(@sha256:[0-9a-f]{64})?",
        "write it like registry.example.org/fabric-jobs@sha256:…, or with a tag",
    ),
    "storage": (r"[1-9][0-9]*(\.[0-9]+)?([KMGTPE]i|[kMGTPE])?", "write a size such as 10Gi"),
    "storage_class": (
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
        "a storage class has lower-case letters, digits, '-' and '.'",
    ),
}


class Installation(NamedTuple):
    """What differs between installations; empty: as in the files."""

    namespace: str = NAMESPACE
    image: str = ""  # by tag or, better, by digest
    storage: str = ""  # the size of the volume
    storage_class: str = ""


def objects(wanted: Installation) -> list[Object]:
    """Return the objects in the order in which they are applied; raise InvalidInput for a wrong one."""
    _check(wanted)
    names = _load("kustomization.yaml")["resources"]
    return [_adapted(_load(name), wanted) for name in names]


def apply(wanted: Installation) -> str:
    """Create the objects or change them to what they should be; return the address of the cluster.

    Raises InvalidInput, ExecutorUnavailable, or what else the cluster says.
    """
    found = objects(wanted)
    loop = CallLoop("deploying")
    cluster = Cluster(Where(namespace=wanted.namespace), LOGIN_SECONDS)

    async def each() -> None:
        for body in found:
            if body["kind"] == "StatefulSet" and not (wanted.storage or wanted.storage_class):
                await _keep_claims(cluster, body)
            await cluster.apply(KINDS[body["kind"]], body)

    try:
        loop.ask(each, LOGIN_SECONDS + APPLY_SECONDS)
    except Rejected as error:
        raise InvalidInput(error.message, hint=_hint(error, wanted.namespace)) from error
    except RightMissing as error:
        raise RightMissing(error.message, hint=RIGHTS) from error
    except (Missing, Conflict) as error:
        raise InvalidInput(f"the cluster says: {str(error).rstrip('.')}.") from error
    finally:
        loop.close(cluster.close)
    return cluster.url


async def _keep_claims(cluster: Cluster, body: Object) -> None:
    """Let a StatefulSet that is there keep its claims, which nobody may change."""
    with suppress(Missing):
        found = await cluster.get("statefulsets", body["metadata"]["name"])
        body["spec"]["volumeClaimTemplates"] = found["spec"]["volumeClaimTemplates"]


def _hint(error: Rejected, namespace: str) -> str:
    if f'namespaces "{namespace}" not found' in error.message:
        return f"Create it: kubectl create namespace {namespace}"
    return CLAIM if "updates to statefulset spec" in error.message else error.hint


def _check(wanted: Installation) -> None:
    for key, value in wanted._asdict().items():
        pattern, words = PATTERNS[key]
        if value and not re.fullmatch(pattern, value):
            raise InvalidInput(f"--{key.replace('_', '-')} cannot be '{value}': {words}.")


def _load(name: str) -> Object:
    text = (shipped.deployment_dir() / name).read_text(encoding="utf-8")
    found: Object = documents.read(text, name).plain()
    return found


def _adapted(found: Object, wanted: Installation) -> Object:
    found["metadata"] = {"name": found["metadata"]["name"], "namespace": wanted.namespace, **found["metadata"]}
    for subject in found.get("subjects", ()):
        subject["namespace"] = wanted.namespace
    if found["kind"] == "StatefulSet":
        spec = found["spec"]
        claim = spec["volumeClaimTemplates"][0]["spec"]
        if wanted.image:
            spec["template"]["spec"]["containers"][0]["image"] = wanted.image
        if wanted.storage:
            claim["resources"]["requests"]["storage"] = wanted.storage
        if wanted.storage_class:
            claim["storageClassName"] = wanted.storage_class
    return found

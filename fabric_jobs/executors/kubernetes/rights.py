"""The rights that the executor needs in its namespace: one table for RBAC manifests, the doctor, and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fabric_jobs.kubernetes.cluster import Cluster


class Right(NamedTuple):
    """One verb on one resource."""

    verb: str
    resource: str  # with its subresource, such as pods/log
    group: str = ""
    needed_for: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


def _of(resource: str, group: str, **uses: str) -> tuple[Right, ...]:
    """Return the rights on a resource; `uses` says of each verb what it is needed for."""
    return tuple(Right(verb, resource, group, use) for verb, use in uses.items())


# In the namespace. Everything here is asked for by the executor: a test takes each one away and sees what fails.
RIGHTS: tuple[Right, ...] = (
    *_of(
        "jobs",
        "batch",
        create="starting an attempt",
        get="an attempt without a pod",
        list="what a killed gateway left",
        delete="what has ended",
    ),
    *_of(
        "pods",
        "",
        list="the states of all attempts",
        watch="the states of all attempts",
        delete="stopping an attempt",
    ),
    *_of("pods/log", "", get="the output of images without Python"),
    *_of(
        "secrets",
        "",
        create="what only the program of an attempt may read",
        patch="Secrets that end with their Job",
        list="what a killed gateway left",
        delete="what has ended",
    ),
    *_of(
        "configmaps",
        "",
        create="the runtime layer",
        list="runtime layers of other versions",
        delete="runtime layers of other versions",
    ),
    *_of("events", "", list="why a pod does not start, in the cluster's words"),
    *_of(
        "deployments",
        "apps",
        create="daemons",
        get="daemons",
        list="what a killed gateway left",
        delete="stopping a daemon",
    ),
    *_of(
        "services",
        "",
        create="daemons",
        get="daemons",
        list="what a killed gateway left",
        delete="stopping a daemon",
    ),
)
# For the whole cluster; without it `serve --advertise` may have to name the gateway's address.
OPTIONAL: tuple[Right, ...] = (Right("list", "nodes", "", "finding the address at which nodes reach this machine"),)


def rules(rights: Iterable[Right] = RIGHTS) -> list[dict[str, Any]]:
    """Return rights as the rules of a Role: one per group and resource."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.resource), []).append(right.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": found} for (group, resource), found in verbs.items()
    ]


async def missing(cluster: Cluster, rights: Sequence[Right] = RIGHTS, **place: str) -> tuple[Right, ...]:
    """Return the rights that this user lacks, by the cluster's own answers; `place` may be `namespace=""` for all of it."""
    allowed = await asyncio.gather(*(cluster.review({**_attributes(right), **place}) for right in rights))
    return tuple(right for right, is_allowed in zip(rights, allowed, strict=True) if not is_allowed)


def named(rights: Sequence[Right], namespace: str) -> str:
    """Return rights in words, such as `create jobs.batch, list secrets in namespace x`."""
    return f"{', '.join(map(str, rights))} in namespace {namespace}"


def _attributes(right: Right) -> dict[str, str]:
    resource, _, subresource = right.resource.partition("/")
    found = {"verb": right.verb, "group": right.group, "resource": resource}
    return {**found, "subresource": subresource} if subresource else found

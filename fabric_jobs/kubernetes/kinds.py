"""Finds out where a cluster keeps objects of any kind, also of kinds that were added to it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from fabric_jobs.errors import InvalidInput
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Missing

VERSION = re.compile(r"([a-z0-9.-]+/)?[a-z0-9]+")


class Kinds:
    """The kinds of a cluster, by apiVersion."""

    def __init__(self, cluster: Cluster) -> None:
        """Ask the cluster for a version when it is first needed."""
        self._cluster = cluster
        self._found: dict[str, dict[str, Any]] = {}

    async def collection(self, body: Object) -> str:
        """Return the path at which an object is created.

        Raises InvalidInput for an object that this cluster does not have, or not in a namespace, and ExecutorUnavailable.
        """
        version, kind = str(body.get("apiVersion") or ""), str(body.get("kind") or "")
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        found = await self._kind(version, root, kind)
        if not found.get("namespaced"):
            raise InvalidInput(
                f"objects of kind {kind} are not in a namespace.", hint="Create it yourself, with `kubectl create`."
            )
        namespace = self._cluster.namespace
        metadata = body.get("metadata")
        given = metadata.get("namespace", namespace) if isinstance(metadata, dict) else namespace
        if given != namespace:
            raise InvalidInput(
                f"the {kind} is for the namespace '{given}', and '{namespace}' is in use.",
                hint="Leave out 'metadata.namespace', or create it yourself.",
            )
        return f"{root}/namespaces/{quote(namespace)}/{found['name']}"

    async def _kind(self, version: str, root: str, kind: str) -> dict[str, Any]:
        if root not in self._found and VERSION.fullmatch(version):
            try:
                listed = await self._cluster.at(root)
            except Missing:
                listed = {}
            self._found[root] = {each["kind"]: each for each in listed.get("resources", ()) if "/" not in each["name"]}
        found: dict[str, Any] | None = self._found.get(root, {}).get(kind)
        if found is None:
            self._found.pop(root, None)  # it may be added
            raise InvalidInput(
                f"the cluster has no objects of kind '{kind}' and apiVersion '{version}'.",
                hint="`kubectl api-resources` lists what it has.",
            )
        return found

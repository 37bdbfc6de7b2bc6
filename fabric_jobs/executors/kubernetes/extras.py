"""Creates the `k8sResources` of actions, once for all attempts, and never touches objects of anybody else."""

from __future__ import annotations

import asyncio
import json
from hashlib import blake2b
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.kubernetes.manifest import MANAGED, MANAGER, PREFIX
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Conflict, Missing
from fabric_jobs.kubernetes.kinds import Kinds
from fabric_jobs.manifests import object_name

OWNER = f"{PREFIX}resource-of"  # label; not that of attempts, since these objects stay
HASH = f"{PREFIX}resource-hash"  # annotation: of the text that it was made of
AGAIN_SECONDS = 60.0  # until it is looked whether they are still there
LABELLED = ("project", "skill", "action")


class Extras:
    """The objects that actions want beside their pods. Everything happens in the loop's thread."""

    def __init__(self, cluster: Cluster, owner: str) -> None:
        self._cluster = cluster
        self._owner = owner
        self._kinds = Kinds(cluster)
        self._applied: dict[
            str, tuple[float, str]
        ] = {}  # by text: when, by the loop's clock, and what is to be said of it
        self._applying = asyncio.Lock()

    async def apply(self, spec: AttemptSpec) -> list[str]:
        """Create the objects that are missing, change those that this owner made of another text; return remarks.

        Raises InvalidInput if the cluster rejects one, in its own words, or ExecutorUnavailable.
        """
        remarks = []
        for text in dict.fromkeys(text for process in spec.processes for text in process.k8s_resources):
            async with self._applying:
                remarks.append(await self._once(text, spec))
        return [remark for remark in remarks if remark]

    async def _once(self, text: str, spec: AttemptSpec) -> str:
        now = asyncio.get_running_loop().time()
        at, remark = self._applied.get(text, (-AGAIN_SECONDS, ""))
        if now - at >= AGAIN_SECONDS:
            try:
                remark = await self._apply(labelled(text, spec, self._owner))
            except InvalidInput as error:
                raise InvalidInput(f"its k8sResources: {error.message}", hint=error.hint) from error
            except Missing as error:
                raise InvalidInput(f"its k8sResources: the cluster says: {error}.") from error
            self._applied[text] = now, remark
        return remark

    async def _apply(self, body: Object) -> str:
        path = await self._kinds.collection(body)
        try:
            await self._cluster.send("POST", path, body)
        except Conflict:
            return await self._meet(path, body)
        return ""

    async def _meet(self, path: str, body: Object) -> str:
        """Change an object that is there already, if it is ours and was made of another text."""
        one = f"{path}/{body['metadata']['name']}"
        try:
            there = (await self._cluster.at(one))["metadata"]
        except Missing:  # it was deleted at this moment; the next attempt creates it
            return ""
        if there.get("labels", {}).get(OWNER) != self._owner:
            return f"{body['kind']} '{body['metadata']['name']}' was there before, and is used as it is"
        if there.get("annotations", {}).get(HASH) != body["metadata"]["annotations"][HASH]:
            await self._cluster.send("PATCH", one, body)
        return ""


def labelled(text: str, spec: AttemptSpec, owner: str) -> dict[str, Any]:
    """Return the object of a text, with what it belongs to. Raise InvalidInput for one without a name."""
    body: dict[str, Any] = json.loads(text)
    metadata = body.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise InvalidInput(f"an object of kind '{body.get('kind', '')}' has no 'metadata.name'.")
    labels = {f"{PREFIX}{key}": object_name(spec.labels[key]) for key in LABELLED if spec.labels.get(key)}
    mark = {HASH: blake2b(text.encode(), digest_size=8).hexdigest()}
    return {
        **body,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), MANAGED: MANAGER, OWNER: owner, **labels},
            "annotations": {**(metadata.get("annotations") or {}), **mark},
        },
    }

"""Finds out how pods reach the gateway, and whether they do."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.executors.base import Doors, Inside
from fabric_jobs.executors.kubernetes import layer
from fabric_jobs.executors.kubernetes.around import Around, around
from fabric_jobs.executors.kubernetes.manifest import FILES_INSIDE
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import Conflict

OWNER_FILE = "kubernetes-owner"  # in the state directory
ADVERTISE = "Run serve with --host 0.0.0.0 --advertise http://HOST:PORT, where HOST is this machine as pods know it."


def owner_of(root: Path) -> str:
    """Return the mark of this state on objects. It stays the same when a gateway's pod is replaced. Raises OSError."""
    path = root.parent / OWNER_FILE
    if not path.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(path, secrets.token_hex(8), durable=True)
    text = path.read_text().strip()
    where = "" if "KUBERNETES_SERVICE_HOST" in os.environ else socket.gethostname()
    return blake2b(f"{text}\0{where}\0{root.resolve()}".encode(), digest_size=5).hexdigest()


class Route:
    """The way from pods to the gateway. It is found out once, for the first attempt."""

    def __init__(self, cluster: Cluster, owner: str, doors: Doors | None) -> None:
        self._cluster = cluster
        self._owner = owner
        self._doors = doors
        self._url: str | None = None
        self._finding = asyncio.Lock()
        self._is_furnished = False

    async def inside(self) -> Inside:
        """Return names and addresses inside a pod. Raise ExecutorUnavailable, or InvalidInput for an unreachable gateway."""
        url = await self._find()
        return Inside(files=FILES_INSIDE, api_endpoint=f"{url}/px")

    async def around(self) -> Around:
        """Return what all pods have in common. Raise InvalidInput for a wrong setting."""
        return around(self._owner, await self._find())

    async def furnish(self) -> None:
        """Make the ConfigMap with the runtime layer, unless it is there."""
        if not self._is_furnished:
            with suppress(Conflict):
                await self._cluster.create("configmaps", layer.config_map())
            self._is_furnished = True

    def forget(self) -> None:
        """Find out again at the next use."""
        self._is_furnished = False

    async def prove(self, image: str) -> None:
        """Raise InvalidInput if a pod of an image cannot reach the gateway."""

    async def _find(self) -> str:
        async with self._finding:
            if self._url is None:
                self._url = await self._look()
            return self._url

    async def _look(self) -> str:
        if self._doors is None:
            return ""
        if self._doors.advertised:
            return self._doors.advertised
        found = await self._cluster.at("/api/v1/nodes?limit=10")
        for node in found.get("items") or ():
            for each in node["status"].get("addresses") or ():
                own = _way_to(each["address"]) if each.get("type") == "InternalIP" else ""
                if own:
                    with suppress(PlaceUnavailable):
                        return self._doors.listen(own)
        raise InvalidInput("pods of the cluster need an address of this gateway, and none was found.", hint=ADVERTISE)


def _way_to(address: str) -> str:
    """Return the address of this machine on the way to another one; empty when there is none, or only loopback."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # sends nothing
            found = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if found.startswith("127.") or found == "::1" else found

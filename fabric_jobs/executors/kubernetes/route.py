"""Finds out how pods reach the gateway, and whether they do."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput, PlaceUnavailable
from fabric_jobs.executors.base import Doors, Inside
from fabric_jobs.executors.kubernetes import layer, proof, readiness
from fabric_jobs.executors.kubernetes.around import Around, around
from fabric_jobs.executors.kubernetes.manifest import FILES_INSIDE, MANAGED, MANAGER
from fabric_jobs.executors.kubernetes.pods import seconds
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import Conflict, RightMissing

NODES = 10  # to look at
OLD_SECONDS = 3600.0
log = logging.getLogger(__name__)
ADVERTISE = "Run serve with --host 0.0.0.0 --advertise http://HOST:PORT, where HOST is this machine as pods know it."


class Route:
    """The way from pods to the gateway, and what they need from there. It is found out once, for the first attempt."""

    def __init__(
        self, cluster: Cluster, owner: str, doors: Doors | None, on_failure: Callable[[], object] = lambda: None
    ) -> None:
        """Call `on_failure()` once a probe has found that pods do not reach the gateway; `failure` then says why."""
        self.failure: InvalidInput | None = None
        self._is_settled = False  # nothing more is tried
        self._cluster = cluster
        self._owner = owner
        self._doors = doors
        self._on_failure = on_failure
        self._url: str | None = None
        self._finding = asyncio.Lock()
        self._is_furnished = False
        self._probe: asyncio.Task[None] | None = None  # the one under way, or the last one
        self._sweep: asyncio.Task[None] | None = None

    async def inside(self) -> Inside:
        """Return names and addresses inside a pod. Raise ExecutorUnavailable, or InvalidInput for an unreachable gateway."""
        url = await self._find()
        return Inside(files=FILES_INSIDE, api_endpoint=f"{url}/px")

    async def around(self) -> Around:
        """Return what all pods have in common. Raise InvalidInput for a wrong setting."""
        return around(self._owner, await self._find())

    async def furnish(self) -> None:
        """Make the ConfigMap with the runtime layer, unless it is there."""
        if self._is_furnished:
            return
        with suppress(Conflict):
            await self._cluster.create("configmaps", layer.config_map())
            self._sweep = self._sweep or asyncio.create_task(_sweep(self._cluster))
        self._is_furnished = True

    async def repair(self, why: str) -> None:
        """Make the ConfigMap again if pods wait for it, by the words of an event: somebody has deleted it."""
        if layer.name() in why and "not found" in why:
            self._is_furnished = False
            await self.furnish()

    def forget(self) -> None:
        """Find out again at the next use."""
        self._is_furnished = False

    async def prove(self, image: str) -> None:
        """Let a pod of an image try the way, once. Raise InvalidInput if pods cannot reach the gateway, as far as is known.

        The first pod tries it beside the first attempt, which does not wait. After a failure, attempts wait for another try.
        """
        if self._doors is None or self._is_settled:
            return
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._try(image))
            if self.failure is None:
                return
        if self.failure is not None:
            await asyncio.shield(self._probe)
            if self.failure is not None:
                raise self.failure

    def note_call(self) -> None:
        """Note that a pod has called the gateway, so that there is a way, whatever a probe says."""
        self._is_settled, self.failure = True, None

    async def _try(self, image: str) -> None:
        try:
            common = await self.around()
            untried = await proof.prove(self._cluster, image, common)
        except InvalidInput as error:
            if not self._is_settled:
                self.failure = error
                self._on_failure()
        except ExecutorUnavailable:
            pass  # the attempts will say so
        else:
            self._is_settled, self.failure = True, None
            if untried:
                log.info("the way from pods to the gateway at %s was not tried: %s", common.gateway, untried)

    async def _find(self) -> str:
        async with self._finding:
            if self._url is None:
                await readiness.check(self._cluster)
                self._url = await self._look()
            return self._url

    async def _look(self) -> str:
        if self._doors is None:
            return ""
        if self._doors.advertised:
            return self._doors.advertised
        why = ""
        for address in await addresses(self._cluster):
            own = way_to(address)
            try:
                if own:
                    return self._doors.listen(own)
            except PlaceUnavailable as error:
                why = f" ({error.message.rstrip('.')})"
        raise InvalidInput(
            f"pods of the cluster need an address of this gateway, and none was found{why}.", hint=ADVERTISE
        )


async def addresses(cluster: Cluster) -> list[str]:
    """Return addresses towards which this machine has one that pods may reach: of nodes, else of the API server."""
    found: list[str] = []
    if not cluster.is_around:  # a pod's own address is the one on its way to the API server
        found += await _of_nodes(cluster) or await _of_hosts(cluster)
    host = urlsplit(cluster.url).hostname or ""
    with suppress(OSError):
        for info in await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM):
            found.append(str(info[4][0]))
    return list(dict.fromkeys(found))


async def _of_nodes(cluster: Cluster) -> list[str]:
    try:
        items = (await cluster.at(f"/api/v1/nodes?limit={NODES}")).get("items") or ()
    except (RightMissing, InvalidInput):
        return []
    each = (address for node in items for address in (node.get("status") or {}).get("addresses") or ())
    return [str(address["address"]) for address in each if address.get("type") == "InternalIP"]


async def _of_hosts(cluster: Cluster) -> list[str]:
    """Return addresses of nodes, by pods that are there: not everybody may list nodes."""
    found = await cluster.at(f"/api/v1/namespaces/{cluster.namespace}/pods?limit={NODES}")
    statuses = [pod.get("status") or {} for pod in found.get("items") or ()]
    return [str(status["hostIP"]) for status in statuses if status.get("hostIP")]


async def _sweep(cluster: Cluster) -> None:
    """Delete runtime layers of other versions that no pod uses, once they are an hour old."""
    try:
        pods, _ = await cluster.list("pods", f"{MANAGED}={MANAGER}")
        used = {
            (volume.get("configMap") or {}).get("name") for pod in pods for volume in pod["spec"].get("volumes") or ()
        }
        maps, _ = await cluster.list("configmaps", f"{MANAGED}={MANAGER}")
        for each in maps:
            name, made_at = str(each["metadata"]["name"]), seconds(str(each["metadata"].get("creationTimestamp")))
            if (
                name.startswith(layer.PREFIX)
                and name not in {*used, layer.name()}
                and time.time() - made_at > OLD_SECONDS
            ):
                await cluster.delete("configmaps", name)
    except (ExecutorUnavailable, InvalidInput, Conflict) as error:
        log.info("runtime layers of other versions were not looked for: %s", error)


def way_to(address: str) -> str:
    """Return the address of this machine on the way to another one; empty when there is none, or only loopback."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # sends nothing
            found = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if found.startswith("127.") or found == "::1" else found

"""Finds out how containers reach the gateway, and how this machine reaches containers."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput, PlaceUnavailable
from fabric_jobs.executors.base import Doors, Inside
from fabric_jobs.executors.docker import proof
from fabric_jobs.executors.docker.describe import DOOR_INSIDE, FILES_INSIDE, RECORDS_INSIDE, Surroundings

NETWORK = "fabric-jobs"
# Containers talk to the gateway, not to each other.
OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}
HOST_ALIAS = "host.docker.internal"


class Reach:
    """The network paths of an engine. They are found out once, for the first container."""

    def __init__(self, engine: DockerEngine, root: Path, doors: Doors | None) -> None:
        """Take `root`, the executor's directory of attempts, as the owner's mark on containers."""
        self.owner = blake2b(f"{socket.gethostname()}\0{root.resolve()}".encode(), digest_size=6).hexdigest()
        self._engine = engine
        self._root = root
        self._doors = doors
        self._is_proven = False
        self._found: tuple[Inside, Surroundings] | None = None
        self._finding = threading.Lock()

    @property
    def inside(self) -> Inside:
        """Return names and addresses inside a container. Raise ExecutorUnavailable, or InvalidInput for an unreachable gateway."""
        return self._find()[0]

    @property
    def around(self) -> Surroundings:
        """Return what all containers have in common."""
        return self._find()[1]

    def prove(self, image: str) -> None:
        """Raise InvalidInput if a container of an image cannot reach the gateway at its advertised address."""
        if not self._is_proven and self._doors is not None and not self.around.reaches_network:
            proof.prove(self._engine, image, self.inside.api_endpoint, self.around)
        self._is_proven = True

    def open(self) -> None:
        """Let running containers reach the gateway again, if possible."""
        with suppress(InvalidInput):  # no way is left; the next start reports it
            self._find()

    def forget(self) -> None:
        """Find out again at the next use, since the network was deleted."""
        with self._finding:
            self._found = None

    def _find(self) -> tuple[Inside, Surroundings]:
        with self._finding:
            if self._found is None:
                self._found = self._look()
            return self._found

    def _look(self) -> tuple[Inside, Surroundings]:
        gateway = self._engine.network(NETWORK, OPTIONS)
        shares_files = self._engine.shares_files
        url, reaches_network = "", False
        hosts: tuple[str, ...] = ()
        if self._doors is not None:
            url, reaches_network, hosts = self._url(self._doors, gateway)
        door = self._doors.share() if self._doors is not None and reaches_network else None
        around = Surroundings(
            owner=self.owner,
            network=NETWORK,
            uid=os.getuid(),
            gid=os.getgid(),
            state=self._root.parent,
            door=door,
            shares_files=shares_files,
            reaches_network=reaches_network,
            hosts=hosts,
        )
        inside = Inside(
            files=FILES_INSIDE,
            api_endpoint=f"{url}/px",
            socket=f"{DOOR_INSIDE}/gateway" if door is not None else "",
            records=RECORDS_INSIDE if shares_files else "",
            shows=shares_files,
        )
        return inside, around

    def _url(self, doors: Doors, gateway: str) -> tuple[str, bool, tuple[str, ...]]:
        """Return the gateway's URL for containers, whether this machine reaches their network, and host names to add there."""
        if self._engine.shares_files:
            try:
                return doors.listen(gateway), True, ()
            except ExecutorUnavailable:
                raise
            except PlaceUnavailable as error:
                if _is_own(gateway):
                    raise ExecutorUnavailable(error.message, hint=error.hint) from error
        if doors.advertised:
            return doors.advertised, False, ()
        if (
            self._engine.shares_files
        ):  # a rootless engine or one in a virtual machine: its network is not this machine's
            return doors.url.replace(_host(doors.url), HOST_ALIAS), False, (f"{HOST_ALIAS}:host-gateway",)
        raise InvalidInput(
            f"the Docker engine at {self._engine.url} is on another machine, so its containers need the address of this gateway.",
            hint="Run serve with --host 0.0.0.0 --advertise http://HOST:PORT, where HOST is the name of this machine on that one.",
        )


def _host(url: str) -> str:
    return url.removeprefix("http://").rpartition(":")[0]


def _is_own(address: str) -> bool:
    """Tell whether an address belongs to this machine."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True

"""The containers of a worker: what they need, whether they are ready and alive, and when the worker ends with them.

On this machine they are processes that the worker starts; elsewhere they run beside it, in the same network namespace.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..fabric_skill import gateway
else:
    from fabric_skill import gateway

from . import probes
from .children import Children, Places, furnish
from .ports import HOST, free_port
from .relay import Relay

UNHEALTHY = 128 + signal.SIGKILL  # exit code after a failed liveness probe, as of a killed container
READY_SECONDS = 600.0  # until all containers are ready; the worker file may say otherwise
GOING_SECONDS = 10.0  # within which a server that does not listen any more has ended
POD_SECONDS = 300.0  # the same in a cluster, where a worker is asked to end after all other containers, by the gateway
LOOK_SECONDS = 0.02
STAYS_SECONDS = 0.25  # a server that ends drops its connections within this time
OPERATOR_PORT, INGRESS_PORT = 8888, 80  # of the in-cluster addresses


class Leaving(BaseException):
    """The worker ends now, wherever its main thread is."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Pod:
    """The containers of the worker, and what they need. The main thread makes and uses it."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._wanted = wanted
        self._is_local = wanted["place"] == "local"
        self._declared: int = wanted.get("port") or 0
        self._is_batch = wanted["kind"] == "BatchAPI"
        self.port = free_port() if self._is_local and self._is_batch else self._declared
        self._children: Children | None = None
        self._relays: list[Relay] = []
        self.changed = threading.Condition()  # notified when a container becomes ready, or the worker should end
        self._watches: list[probes.Watch] = []
        self._main = threading.main_thread()
        self._code: int | None = None  # of the worker, once it is known
        self._deciding = threading.Lock()
        self.busy = False  # with batches that a request to end should not interrupt
        self.must_end = threading.Event()

    def start(self) -> None:
        """Start the containers, on this machine, and the relay to the gateway."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        if self._is_local:
            for remark in self._wanted.get("remarks", ()):
                say(remark)
            relay = Relay.hidden(gateway.address(), gateway.token())
            self._relays.append(relay)
            place = os.path.dirname(os.path.abspath(os.environ["FABRIC_JOBS_WORKER_FILE"]))
            places = furnish(f"{place}/shared", self._wanted["job"], relay.url)
            self._children = Children(self._wanted["containers"], self._variables(places, relay.url), places)
            self._children.watch(self._on_end)
        else:
            self._relay(OPERATOR_PORT)
            if not self._is_batch:
                self._relay(INGRESS_PORT)
        self._watch_lives()

    def await_ready(self) -> None:
        """Return once all containers are ready; end the worker if that takes too long."""
        seconds = float(self._wanted.get("ready_seconds") or READY_SECONDS)
        self._watches = [probes.Watch(probe, is_well=False) for probe in self._probes("readiness_probe")]
        for watch in self._watches:
            watch.start(lambda _: self._notify())
        with self.changed:
            is_ready = self.changed.wait_for(lambda: self.is_ready, seconds)
        if not is_ready:
            for watch in self._watches:
                if not watch.is_well:
                    probe = watch.probe
                    say(f"{probe.who} is not ready after {seconds:g} s: {probe.what}: {watch.reason}")
            raise Leaving(1)
        if not self._is_local and self._declared != INGRESS_PORT:
            self._relay(INGRESS_PORT)  # only now: a container that listens there itself comes first

    @property
    def is_ready(self) -> bool:
        """Whether all containers are ready."""
        return all(watch.is_well for watch in self._watches)

    def doubt(self) -> None:
        """Look at the readiness probes again: a connection failed."""
        for watch in self._watches:
            watch.doubt()

    def is_going(self) -> bool:
        """Wait until it is clear whether the server ends, after a connection to it broke; return whether it does.

        What it had in hand is then lost with this worker, and has not failed.
        """
        is_in_cluster = self._wanted["place"] == "kubernetes"  # which starts no container again
        deadline = time.monotonic() + (POD_SECONDS if is_in_cluster else GOING_SECONDS)
        while time.monotonic() < deadline and not self.must_end.is_set():
            if self._keeps_listening():
                return False
            self.must_end.wait(LOOK_SECONDS)
        return self.must_end.is_set()

    def _keeps_listening(self) -> bool:
        """Return whether the server accepts a connection and does not drop it: one that ends may still do the first."""
        try:
            with socket.create_connection((HOST, self.port), 1.0) as connection:
                connection.settimeout(STAYS_SECONDS)
                connection.recv(1)
        except OSError as error:
            return error.errno is None  # nothing came within that time
        return False

    def rest(self) -> NoReturn:
        """Wait until a container ends, or somebody asks this worker to end. Raises Leaving."""
        while True:
            threading.Event().wait()

    def leave(self, code: int) -> None:
        """End the worker from any thread. The first exit code counts."""
        with self._deciding:
            if self._code is not None:
                return
            self._code = code
        self.must_end.set()
        signal.pthread_kill(self._main.ident or 0, signal.SIGTERM)

    def end(self) -> None:
        """End the containers of this machine. No signal interrupts it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self.must_end.set()
        if self._children is not None:
            self._children.end()
        for relay in self._relays:
            relay.close()

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _on_signal(self, number: int, _: Any) -> None:
        if self._code is not None:
            raise Leaving(self._code)
        self.must_end.set()
        if not self.busy:
            raise Leaving(128 + number)
        threading.Thread(target=self._notify, daemon=True).start()  # this thread may hold the lock

    def _on_end(self, name: str, code: int) -> None:
        if self._code is None and not self.must_end.is_set():
            say(f"container '{name}' ended by itself with exit code {code}")
        self.leave(code)

    def _watch_lives(self) -> None:
        for probe in self._probes("liveness_probe"):
            if probe.kind == "exec" and self._children is None:
                continue  # the place asks it
            environment = None if self._children is None else self._children.environment_of(probe.container)
            watch = probes.Watch(probe, is_well=True, environment=environment)
            watch.start(self._on_death)

    def _on_death(self, watch: probes.Watch) -> None:
        if not watch.is_well:
            say(f"the liveness probe of {watch.probe.who} fails: {watch.probe.what}: {watch.reason}")
            self.leave(UNHEALTHY)

    def _probes(self, key: str) -> list[probes.Probe]:
        ports = {self._declared: self.port}
        found = [probes.read(each["name"], each.get(key), ports) for each in self._wanted["containers"]]
        told = [probe for probe in found if probe is not None]
        return probes.with_default(told, self.port) if key == "readiness_probe" else told

    def _variables(self, places: Places, url: str) -> dict[str, str]:
        """Return the variables that containers of this machine get."""
        port = {"CORTEX_PORT": str(self.port), "PORT": str(self.port)} if self._is_batch else {}
        return {
            **self._wanted.get("variables", {}),
            "CORTEX_CLI_CONFIG_DIR": places.client,
            "CORTEX_JOB_FILE": places.job_file,
            "CORTEX_GATEWAY_URL": url,
            **port,
        }

    def _relay(self, port: int) -> None:
        try:
            self._relays.append(Relay(gateway.address(), gateway.token(), port=port))
        except OSError as error:
            say(f"requests to port {port} do not lead to the gateway: {error.strerror}; use CORTEX_GATEWAY_URL")


def say(text: str) -> None:
    """Tell people, on standard error."""
    print(f"cortex_worker: {text}", file=sys.stderr, flush=True)

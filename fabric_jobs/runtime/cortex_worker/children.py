"""The containers of an API as processes of this machine, beside the worker. The first one that ends, ends them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from . import inside
from .expansion import all_expanded, expanded

GRACE_SECONDS = 10.0  # between TERM and KILL
KILLED = 137
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # exit codes, as those of a shell
# Variables of the worker that are nothing for its containers: the token, and what only the worker uses.
OWN = (
    "CORTEX_PAYLOAD",
    "CORTEX_TOKEN",
    "FABRIC_JOBS_ATTEMPT",
    "FABRIC_JOBS_RECORDS",
    "FABRIC_JOBS_SOCKET",
    "FABRIC_JOBS_WORKER_FILE",
)
CLIENT = """\
telemetry: false
default_environment: default
environments:
- name: default
  operator_endpoint: {url}
"""


class Places(NamedTuple):
    """The directories that the containers share, and where they are for programs that see no others."""

    root: str  # empty: a new root is mounted there
    mnt: str
    cortex: str

    @property
    def job_file(self) -> str:
        """The file with the job."""
        return f"{self.cortex}/spec/job.json"

    @property
    def client(self) -> str:
        """The directory with the configuration of Cortex Labs' client."""
        return f"{self.cortex}/client"


def furnish(directory: str, job: Mapping[str, Any], gateway_url: str) -> Places:
    """Make the shared directories under `directory`, with the job and the client's configuration."""
    places = Places(f"{directory}/root", f"{directory}/mnt", f"{directory}/cortex")
    for path in (places.root, places.mnt, os.path.dirname(places.job_file), places.client):
        os.makedirs(path, exist_ok=True)
    with open(places.job_file, "w", encoding="utf-8") as file:
        json.dump(job, file)
    with open(f"{places.client}/cli.yaml", "w", encoding="utf-8") as file:
        file.write(CLIENT.format(url=gateway_url))
    return places


class Child:
    """One container as a process group."""

    def __init__(self, name: str, words: list[str], environment: dict[str, str], prefix: list[str]) -> None:
        """Start it. Without its program it ends at once, like a shell that does not find it."""
        self.name = name
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._code = 0
        try:
            self._process = subprocess.Popen(
                [*prefix, *words], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            print(f"cortex_worker: container '{name}': {words[0]} cannot be run: {error.strerror}", file=sys.stderr)
            self._code = NOT_EXECUTABLE if isinstance(error, PermissionError) else NOT_FOUND

    def wait(self) -> int:
        """Return the exit code once it has ended: 128 + n for signal n."""
        if self._process is None:
            return self._code
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def send(self, number: int) -> None:
        """Send a signal to its processes."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


class Children:
    """The containers of a worker."""

    def __init__(self, containers: list[dict[str, Any]], variables: Mapping[str, str], places: Places) -> None:
        """Start them all. `variables` are ours for each of them; their own take precedence."""
        base = {name: value for name, value in os.environ.items() if name not in OWN}
        directories = {"/mnt": places.mnt, "/cortex": places.cortex}
        reason = inside.why_not(places.root, directories, [os.getcwd(), sys.executable, sys.prefix, places.mnt])
        if reason:
            print(
                f"cortex_worker: /cortex and /mnt cannot be mounted here ({reason}); see CORTEX_JOB_FILE",
                file=sys.stderr,
            )
        self.all = []
        for each in containers:
            own = all_expanded(variables, each.get("env") or {})
            environment = {**base, **own}
            words = [expanded(word, own) for word in [*each["command"], *(each.get("args") or ())]]
            prefix = [] if reason else inside.command(places.root, directories, [])
            self.all.append(Child(each["name"], words, environment, prefix))

    def watch(self, on_end: Callable[[str, int], None]) -> None:
        """Call `on_end(name, exit code)` when one of them ends, from a thread."""

        def follow(child: Child) -> None:
            on_end(child.name, child.wait())

        for child in self.all:
            threading.Thread(target=follow, args=(child,), name=f"container-{child.name}", daemon=True).start()

    def environment_of(self, name: str) -> dict[str, str] | None:
        """Return the variables of a container; None if there is none of that name."""
        return next((child.environment for child in self.all if child.name == name), None)

    def end(self) -> None:
        """Ask all that still run to end, and kill them after the grace period."""
        deadline = time.monotonic() + GRACE_SECONDS
        for child in self.all:
            child.send(signal.SIGTERM)
        waiting = [threading.Thread(target=child.wait, daemon=True) for child in self.all]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join(max(0.0, deadline - time.monotonic()))
        for child in self.all:
            child.send(signal.SIGKILL)

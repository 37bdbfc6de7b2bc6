"""Finds the owner of a state directory, or starts one if there is none (docs/explanation/architecture.md)."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from fabric_jobs import state_dir as places
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.runtime.fabric_skill.http import Connection, Disconnected

PATIENCE_SECONDS = 15.0
RETIRE = "/fabric/v4/projects/local/state/retire"
ANSWER_SECONDS = 10.0  # an owner that holds the lock must answer within this time


class Starting:
    """An owner that is starting, while the caller goes on working."""

    def __init__(self, state_dir: Path) -> None:
        """Start an owner process in its own session; it ends by itself when it is idle."""
        self._state_dir = state_dir
        self._start()

    def wait(self) -> places.Address:
        """Return the address of the owner once it can be reached; otherwise raise PlaceUnavailable with its message."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            said = self._hear()
            if said not in ("ready", "taken"):
                raise _cannot_start(said, self._state_dir)
            address = places.read_address(self._state_dir) if said == "ready" else None
            address = address or _await_owner(self._state_dir, deadline)
            if address is not None:
                return address
            self._start()  # the earlier owner was ending, and is gone now

    def _start(self) -> None:
        state_dir = self._state_dir
        try:
            places.make(state_dir)
            log = open(places.log_file(state_dir), "ab", opener=places.private_opener)  # noqa: SIM115 - closed below, after the process has it
        except OSError as error:
            reason = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
            raise PlaceUnavailable(
                f"the state directory {state_dir} cannot be used: {reason}.",
                hint="Make it writable, or choose another one with --state-dir.",
            ) from error
        self._said, write_end = _pipe()
        # An owner that a job starts serves others too, so it must not end with the attempt.
        environment = {key: value for key, value in os.environ.items() if key != places.ATTEMPT_VARIABLE}
        # UTF-8 whatever this command's locale is, since others use the owner too.
        command = [
            sys.executable,
            "-X",
            "utf8",
            "-m",
            "fabric_jobs.background",
            str(state_dir.absolute()),
            str(write_end),
        ]
        with log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write_end],
                start_new_session=True,
                env=environment,
                cwd="/",
            )
        os.close(write_end)

    def _hear(self) -> str:
        """Return the new process's report: `ready`, `taken`, or why it cannot start."""
        with os.fdopen(self._said, "rb") as file:
            said = file.read().decode(errors="replace")
        self._process.returncode = 0  # it outlives this process on purpose
        return said


def running(state_dir: Path) -> places.Address | None:
    """Return the address of the owner; None if none accepts connections."""
    address = places.read_address(state_dir)
    if address is None:
        return None
    try:
        connection = Connection(address.socket, address.token)
        connection.request("GET", "/healthz", timeout=ANSWER_SECONDS)
        connection.close()
    except Disconnected:
        return None
    return address


def retire(state_dir: Path) -> bool:
    """End an owner that a command has started, unless something runs; return whether none is left."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while places.is_locked(places.lock_file(state_dir)):
        address = places.read_address(state_dir)
        if time.monotonic() > deadline or (address is not None and not _gives_way(address)):
            return False
        time.sleep(0.02)
    return True


def _gives_way(address: places.Address) -> bool:
    try:
        connection = Connection(address.socket, address.token)
        answer = connection.request("POST", RETIRE, b"{}", timeout=ANSWER_SECONDS)
        connection.close()
    except Disconnected:
        return True  # it is already ending
    return answer.status == 200 and bool(json.loads(answer.body)["ending"])


def _await_owner(state_dir: Path, deadline: float) -> places.Address | None:
    """Return the address of the lock's holder once it can be reached; None if it releases the lock."""
    while time.monotonic() < deadline:
        address = running(state_dir)
        if address is not None:
            return address
        if not places.is_locked(places.lock_file(state_dir)):
            return None
        time.sleep(0.02)
    raise PlaceUnavailable(
        f"the process that serves {state_dir} does not answer.",
        hint=f"See {places.log_file(state_dir)}; if it hangs, end the process that holds {places.lock_file(state_dir)}.",
    )


def _cannot_start(said: str, state_dir: Path) -> PlaceUnavailable:
    message, _, hint = said.partition("\n")
    return PlaceUnavailable(
        message or "the owner process ended during its start.",
        hint=hint or f"See {places.log_file(state_dir)}; `fabric-jobs doctor` may find the reason.",
    )


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are not standard streams, even if those are closed."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3))
        os.close(end)
    return ends[0], ends[1]

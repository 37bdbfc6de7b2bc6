"""Finds the owner of a state directory, and starts one when there is none (DESIGN section 7)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from fabric_jobs import state_dir as places
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.runtime.fabric_skill.http import Connection, Disconnected

PATIENCE_SECONDS = 15.0
ANSWER_SECONDS = 10.0  # an owner that holds the lock and does not answer for so long is an error


class Starting:
    """An owner that is on its way: work goes on meanwhile."""

    def __init__(self, state_dir: Path) -> None:
        """Start an owner process in a session of its own; it ends by itself when it is idle."""
        self._state_dir = state_dir
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            log = open(places.log_file(state_dir), "ab")  # noqa: SIM115 - closed below, after the process has it
        except OSError as error:
            raise PlaceUnavailable(
                f"the state directory {state_dir} cannot be used: {error.strerror}.",
                hint="Make it writable, or name another one with --state-dir.",
            ) from error
        self._said, write_end = os.pipe()
        command = [sys.executable, "-m", "fabric_jobs.owner", str(state_dir.absolute()), str(write_end)]
        with log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write_end],
                start_new_session=True,
                cwd="/",
            )
        os.close(write_end)

    def wait(self) -> places.Address:
        """Return the address of the owner once it can be reached; raise PlaceUnavailable with its own words otherwise."""
        with os.fdopen(self._said, "rb") as file:
            said = file.read().decode(errors="replace")
        self._process.returncode = 0  # it outlives this process on purpose
        if said == "ready":
            address = places.read_address(self._state_dir)
            if address is not None:
                return address
        if said in ("ready", "taken"):
            return _await_other(self._state_dir)
        message, _, hint = said.partition("\n")
        raise PlaceUnavailable(
            message or "the owner process ended while it started.",
            hint=hint or f"Its last words are in {places.log_file(self._state_dir)}.",
        )


def running(state_dir: Path) -> places.Address | None:
    """Return the address of the owner, if there is one that accepts connections."""
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


def _await_other(state_dir: Path) -> places.Address:
    """Another process won the lock: wait until it can be reached."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        address = running(state_dir)
        if address is not None:
            return address
        time.sleep(0.02)
    raise PlaceUnavailable(
        f"the process that serves {state_dir} does not answer.",
        hint=f"See {places.log_file(state_dir)}; if it hangs, end the process that holds {places.lock_file(state_dir)}.",
    )

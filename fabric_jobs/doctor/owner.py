"""Checks the owner process: alive and answering, or gone without leftovers."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import fabric_jobs
from fabric_jobs import state_dir as places
from fabric_jobs.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding, Scope, repaired
from fabric_jobs.errors import UNFORESEEN
from fabric_jobs.runtime.fabric_skill.http import Connection, Disconnected
from fabric_jobs.settings import SLOTS_PER_CPU, Settings
from fabric_jobs.state_dir import Address
from fabric_jobs.store.audit import setting

ANSWER_SECONDS = 5.0
LOG_BYTES = 1 << 20  # of the end of the owner's log


def lock(scope: Scope) -> Iterator[Finding]:
    """Check that an owner holds the lock, or that nobody does and no owner has left files behind."""
    state_dir = scope.state
    with _locked(places.lock_file(state_dir)) as is_free:
        if not is_free:
            address = places.read_address(state_dir)
            who = f"process {address.pid}" if address is not None else "a process"
            yield Finding(OK, f"{who} serves {state_dir}")
            return
        left = [path for path in (state_dir / "owner.json", places.socket_path(state_dir)) if os.path.lexists(path)]
        for path in left:
            yield repaired(
                scope,
                Finding(WARNING, f"{path} was left by a killed owner; the next one replaces it.", f"rm {path}"),
                lambda path=path: path.unlink(missing_ok=True),  # type: ignore[misc]
                "It has been removed.",
            )
        if not left:
            yield Finding(OK, "none is running; a command that needs one starts it")


def gateway(scope: Scope) -> Iterator[Finding]:
    """Check that a running owner answers and accepts its token; one that is starting or ending gets some seconds."""
    state_dir = scope.state
    deadline = time.monotonic() + ANSWER_SECONDS
    while places.is_locked(places.lock_file(state_dir)):
        found = _look(state_dir)
        if found.level != PROBLEM or time.monotonic() > deadline:
            yield found
            return
        time.sleep(0.05)


def _look(state_dir: Path) -> Finding:
    address = places.read_address(state_dir)
    if address is None:
        return Finding(
            PROBLEM,
            f"A process holds {places.lock_file(state_dir)}, but has not written its address.",
            f"See {places.log_file(state_dir)}; if it hangs, end it.",
        )
    try:
        statuses = _ask(address)
    except Disconnected as error:
        return _silent(state_dir, address, error)
    again = f"End process {address.pid}; the next command starts another one. Jobs keep running."
    if statuses != [200, 200]:
        message = f"{address.url} answered {statuses[0]} to /healthz and {statuses[1]} to the token of owner.json."
        return Finding(PROBLEM, message, again)
    if address.version != fabric_jobs.__version__:
        message = f"{address.url} answers, but is version {address.version}, not {fabric_jobs.__version__}."
        return Finding(WARNING, message, again)
    return Finding(OK, f"{address.url} answers and accepts the token")


def room(scope: Scope) -> Iterator[Finding]:
    """Show how much may run at a time: for the running owner, else for the next one here."""
    address = places.read_address(scope.state)
    if address is not None and places.is_locked(places.lock_file(scope.state)):
        found = _metrics(address)
        slots = {name: (found.get(f'slots_busy{{place="{name}"}}', 0), count) for name, count in _slots(found).items()}
        shown = [f"{name} {busy:.0f} of {count:.0f} slots" for name, (busy, count) in slots.items()]
        run = found.get('activations{state="PENDING"}', 0) - found.get("activations_waiting", 0)
        most, waiting = found.get("activations_most", 0), found.get("activations_waiting", 0)
        shown.append(f"{run:.0f} of {most:.0f} activations run, {waiting:.0f} wait")
        yield Finding(OK, "; ".join(shown))
        return
    settings = Settings(state_dir=scope.state)
    shown = [f"{name} {settings.slots_in(name)} slots" for name in SLOTS_PER_CPU]
    yield Finding(OK, "; ".join([*shown, f"{settings.activations} activations at a time"]))


def _slots(found: dict[str, float]) -> dict[str, float]:
    return {name.split('"')[1]: value for name, value in found.items() if name.startswith("slots{")}


def _metrics(address: Address) -> dict[str, float]:
    """Return the owner's metrics, by name without the prefix; empty if it does not answer."""
    connection = Connection(address.socket, address.token)
    try:
        text = connection.request("GET", "/metrics", timeout=ANSWER_SECONDS).body.decode()
    except Disconnected:
        return {}
    finally:
        connection.close()
    lines = (
        line.removeprefix("fabric_jobs_").rpartition(" ") for line in text.splitlines() if not line.startswith("#")
    )
    return {name: float(value) for name, _, value in lines}


def errors(scope: Scope) -> Iterator[Finding]:
    """Check that the owner's log, which covers the last owners, shows no internal error."""
    path = places.log_file(scope.state)
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.endswith(UNFORESEEN)]
    if lines:
        yield Finding(
            WARNING,
            f"The owner has logged {len(lines)} errors of its own; the last: {lines[-1]}.",
            f"See the traceback in {path} and report it. Then remove the file.",
        )


def port(scope: Scope) -> Iterator[Finding]:
    """Check that the port jobs know belongs to the owner, or is free for it."""
    state_dir = scope.state
    path = places.database_file(state_dir)
    kept = setting(path, "port") if path.exists() else None
    if kept is None or not kept.isdecimal():
        yield Finding(NOTE, "None is chosen yet; the first owner chooses it.")
        return
    address = places.read_address(state_dir)
    if address is not None and places.is_locked(places.lock_file(state_dir)):
        used = urlsplit(address.url).port
        yield Finding(OK, f"{used}, held by the owner")
        return
    try:
        _try_bind(int(kept))
    except (OSError, OverflowError) as error:
        yield Finding(
            WARNING,
            f"{kept} cannot be used: {error}.",
            "The next owner takes another one. Running jobs that use plain HTTP will not reach it.",
        )
    else:
        yield Finding(OK, f"{kept}, free")


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the owner's lock for a moment, so that no owner starts; yield False if somebody else has it."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _ask(address: Address) -> list[int]:
    connection = Connection(address.socket, address.token)
    try:
        return [
            connection.request("GET", path, timeout=ANSWER_SECONDS).status
            for path in ("/healthz", "/fabric/v4/projects/local/tasks?limit=1")
        ]
    finally:
        connection.close()


def _silent(state_dir: Path, address: Address, error: Disconnected) -> Finding:
    """Return the finding for an owner that does not answer; it may be stopped, and a signal can continue it."""
    try:
        is_stopped = Path(f"/proc/{address.pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        is_stopped = False
    if is_stopped:
        return Finding(
            PROBLEM,
            f"The owner, process {address.pid}, is stopped and does not answer.",
            f"Continue it: kill -CONT {address.pid}",
        )
    return Finding(
        PROBLEM,
        f"The owner, process {address.pid}, does not answer: {error}.",
        f"See {places.log_file(state_dir)}; if it hangs: kill -9 {address.pid}. Jobs keep running.",
    )


def _try_bind(number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", number))

"""The owner process of a state directory: connects store, executors, engine and gateway."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import fabric_jobs
from fabric_jobs import shipped
from fabric_jobs import state_dir as places
from fabric_jobs.blobs import Blobs, open_blobs
from fabric_jobs.engine import Engine
from fabric_jobs.engine.launch import Issuing
from fabric_jobs.engine.secrets import Secrets
from fabric_jobs.errors import AlreadyExists, PlaceUnavailable
from fabric_jobs.executors import Executors, descriptors
from fabric_jobs.executors.dispositions import unignore
from fabric_jobs.gateway.access import Access
from fabric_jobs.gateway.doors import GatewayDoors
from fabric_jobs.gateway.live import Live
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.scheduling import clock_of
from fabric_jobs.gateway.server import GatewayServer
from fabric_jobs.records import Project
from fabric_jobs.sealing import Keys
from fabric_jobs.settings import Settings
from fabric_jobs.state_dir import Address
from fabric_jobs.store import Store, Tx, definitions, projects
from fabric_jobs.upkeep import Upkeep

if TYPE_CHECKING:
    from fabric_jobs.workspace.registering import Registration

# The longest that a woken thread waits for a computing one. Five threads act between a job's end and the next one's start: with
# Python's default of 5 ms, one of them often waits.
SWITCH_SECONDS = 0.0005

LOOK_SECONDS = 1.0  # between two checks whether the state directory is still there

# After a signal, the owner ends within this time, even if a place does not answer: it may be cut off safely at any time.
END_SECONDS = 4.5
QUIET_SECONDS = 60.0  # the same log line is written once in this time
LINES = 1000  # remembered at most

log = logging.getLogger(__name__)

Ready = Callable[[Address], None]


def run(settings: Settings, ready: Ready) -> None:
    """Own a state directory until a signal or, with `until_idle`, until nothing is left to do; call `ready` once reachable.

    Raises AlreadyExists when another process is the owner, PlaceUnavailable when the directory or the port cannot be used.
    """
    with places.private_files():
        _run(settings, ready)


def _run(settings: Settings, ready: Ready) -> None:
    directory = settings.state_dir
    try:
        places.make(directory)
        lock = places.private_opener(str(places.lock_file(directory)), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        reason = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise PlaceUnavailable(
            f"the state directory {directory} cannot be used: {reason}.",
            hint="Make it writable, or choose another one with --state-dir.",
        ) from error
    if not _take(lock):
        os.close(lock)
        raise AlreadyExists(
            f"another process already serves {directory}; commands here use it, and owner.json has its address.",
            hint="If a command has started it, it ends once its activations have ended; then try again.",
        )
    if directory.name == places.STATE_DIRECTORY:
        shipped.put_schemas(directory)
    sys.setswitchinterval(SWITCH_SECONDS)
    descriptors.raise_limit()
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repeats())
    unignore()  # before the first thread, which inherits this one's mask
    store = Store(places.database_file(directory), inline_bytes=settings.inline_bytes)
    try:
        secret_store = Secrets(store, Keys(Path(settings.secrets_key_file or places.secrets_key(directory))))
        secret_store.check()  # before anything is changed
        store.sweep()
        _clear_deployed(directory)
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C, during the graceful stop
            asyncio.run(_serve(settings, store, secret_store, ready))
    finally:
        store.close()
        os.close(lock)


def _clear_deployed(directory: Path) -> None:
    """Remove what deployments of an earlier owner have left."""
    root = places.deployed_dir(directory)
    if root.is_dir():
        from fabric_jobs import deployed  # late: most owners have no APIs

        deployed.clear(root)


def _take(lock: int) -> bool:
    """Take the lock; retry, since a command that checks it holds it for a moment."""
    for _ in range(5):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


async def _serve(settings: Settings, store: Store, secret_store: Secrets, ready: Ready) -> None:
    home = places.identity(settings.state_dir)
    path = places.make_socket_path(settings.state_dir)
    unix = _bind_unix(path)
    tcp = _bind_tcp(settings, store)
    keys = store.write(lambda tx: _keys(tx, home, tcp.getsockname()[1], settings)).result()
    doors = GatewayDoors(tcp, path, advertised=settings.advertise)
    issuing = Issuing(key=bytes.fromhex(keys["key"]), argv_bytes=settings.argv_bytes, secrets=secret_store)
    attempts = places.attempts_dir(settings.state_dir).absolute()
    executors = Executors(attempts, doors)
    engine = Engine(store, executors, settings, issuing)
    live = Live(store, settings)
    blobs = _blobs(settings, issuing.key)
    upkeep = Upkeep(store, executors, blobs, attempts, settings.project_id, live.targets.clear)
    parts = Parts(
        store=store,
        engine=engine,
        live=live,
        settings=settings,
        executors=executors,
        upkeep=upkeep,
        blobs=blobs,
        access=Access(store, secret=keys["token"], key=issuing.key),
        key=issuing.key,
        registration=await _registration(settings, store),
    )
    if not settings.until_idle:  # an owner that ends when it is idle could not promise that it is there
        parts = replace(parts, clock=clock_of(parts))
    server = GatewayServer(parts, [unix, tcp])
    server.on_stop = _end_soon
    doors.serve(server, asyncio.get_running_loop())
    engine.start()
    if parts.clock is not None:
        parts.clock.start()
    address = _address(settings, doors, parts.access.token)
    watch = asyncio.create_task(_watch_directory(settings.state_dir, home, server))
    try:
        await server.run(lambda: _publish(settings, address, ready))
    finally:
        watch.cancel()
        is_home = places.is_at(settings.state_dir, home)
        if is_home:
            _leave(settings.state_dir, doors)
        await asyncio.to_thread(parts.upkeep.close)
        if parts.clock is not None:
            await asyncio.to_thread(parts.clock.close)
        await asyncio.to_thread(engine.close)
    if not is_home:
        what = f"{settings.state_dir} was moved, deleted or replaced, so its owner has ended; jobs keep running."
        raise PlaceUnavailable(what, hint="The next command at its new path starts another owner.")


async def _registration(settings: Settings, store: Store) -> Registration | None:
    """Return the registration of the workspace's files, after its first look."""
    root = settings.workspace
    if root is None:
        return None
    from fabric_jobs.workspace.registering import Registration  # late: owners started by commands do not need it

    registration = Registration(root, store, settings.project_id, settings.executor)
    await asyncio.to_thread(registration.look)
    return registration


def _leave(state_dir: Path, doors: GatewayDoors) -> None:
    """Remove the address and the socket of this owner. In another directory at the same path, they would be another owner's."""
    places.forget_address(state_dir)
    Path(doors.socket).unlink(missing_ok=True)
    doors.close()


class Repeats(logging.Filter):
    """Drops log lines that were just written: an error of hundreds of attempts per second is logged once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a line."""
        error = record.exc_info[1] if record.exc_info else None
        line, now = f"{record.name} {record.getMessage()} {error!r}", time.monotonic()
        if now - self._said.get(line, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        if len(self._said) >= LINES:
            self._said.clear()
        self._said[line] = now
        return True


def _end_soon() -> None:
    """Make sure that this process ends, even when a thread waits for a place that does not answer."""

    def end() -> None:
        log.warning("something does not answer, so this process ends without it; the next owner continues its work.")
        os._exit(0)

    timer = threading.Timer(END_SECONDS, end)
    timer.daemon = True
    timer.start()


def _publish(settings: Settings, address: Address, ready: Ready) -> None:
    places.write_address(settings.state_dir, address)
    ready(address)


async def _watch_directory(state_dir: Path, home: places.Identity | None, server: GatewayServer) -> None:
    """End the owner when its directory was moved, deleted or replaced: its path leads elsewhere, or nowhere."""
    while places.is_at(state_dir, home):
        await asyncio.sleep(LOOK_SECONDS)
    server.stop()


def _keys(tx: Tx, home: places.Identity | None, port: int, settings: Settings) -> dict[str, str]:
    """Return the secret of the owner's token and the key that signs the tokens of tasks; both persist, like port and project.

    A copy or restored backup of a state directory gets a new key: it does not accept the original's tasks.
    """
    found = {"home": places.mark_of(home), "port": str(port)}
    row = tx.one("setting", key="home")
    is_copy = row is not None and row["value"] != found["home"]
    for name in ("token", "key"):
        row = tx.one("setting", key=name)
        is_stale = is_copy and name == "key"
        found[name] = secrets.token_hex(32) if row is None or is_stale else row["value"]
    for name in found:
        tx.run("put_setting", key=name, value=found[name])
    projects.ensure(tx, Project.new(settings.project_id, created_by="local"))
    definitions.move_sources(tx, str(places.deployed_dir(settings.state_dir).absolute()))
    return found


def _address(settings: Settings, doors: GatewayDoors, token: str) -> Address:
    return Address(
        pid=os.getpid(),
        url=doors.url,
        socket=doors.socket,
        token=token,
        version=fabric_jobs.__version__,
        executor=settings.executor,
        engine=places.engine_named(),
    )


def _blobs(settings: Settings, key: bytes) -> Blobs:
    """Return the bytes of content; a bucket knows this gateway by an id that a copy of its state does not share."""
    owner = hashlib.sha256(b"owner of content" + key).hexdigest()[:32]
    blobs = open_blobs(places.content_dir(settings.state_dir), settings.content_url, owner)
    blobs.clear()
    return blobs


def _bind_unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # the lock proves that its owner is gone
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    return bound


def _bind_tcp(settings: Settings, store: Store) -> socket.socket:
    row = store.read.one("setting", key="port")
    if settings.port is not None:
        bound = _try_bind(settings.host, settings.port)
    else:
        try:
            bound = _try_bind(settings.host, int(row["value"]) if row is not None else 0)
        except PlaceUnavailable as error:
            log.warning(
                "%s; jobs that were started with it and use plain HTTP will not reach this owner.", error.message
            )
            bound = _try_bind(settings.host, 0)
    return bound


def _try_bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise PlaceUnavailable(
            f"port {port} of {host} cannot be used: {error.strerror}",
            hint="Choose another one with --port, or 0 for a free one.",
        ) from error
    return bound

"""Checks workspace and state directory: existence, owner, file system, space."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs import sizes
from fabric_jobs import state_dir as places
from fabric_jobs.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding, Scope, repaired
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store.audit import try_wal

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "vboxsf", "ncpfs"}
)
NETWORK_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.glusterfs", "fuse.ceph", "fuse.gcsfuse", "fuse.rclone")
LITTLE_BYTES, NO_BYTES = 1 << 30, 64 << 20
LITTLE_FILES, NO_FILES = 10_000, 100
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def workspace(scope: Scope) -> Iterator[Finding]:
    """Check that there is a workspace."""
    if scope.workspace is None:
        yield Finding(NOTE, scope.missing, "Choose one with --workspace.")
        return
    yield Finding(OK, str(scope.workspace))


def state_directory(scope: Scope) -> Iterator[Finding]:
    """Check that it is a directory that its user, and nobody else, can use."""
    if scope.state_dir is None:
        yield Finding(NOTE, "Not checked, since there is no workspace.")
        return
    path = scope.state_dir
    there = next(item for item in (path, *path.parents) if os.path.lexists(item))
    may = os.access(there, os.R_OK | os.W_OK | os.X_OK)
    if there != path and there.is_dir() and may:
        yield Finding(NOTE, f"{path} does not exist yet; the first run creates it.")
        return
    if not there.is_dir():
        yield Finding(PROBLEM, f"{there} is not a directory.", "Move it away, or choose another path with --state-dir.")
        return
    if not may:
        yield Finding(
            PROBLEM,
            f"{there} belongs to user {there.stat().st_uid}, and your user ({os.getuid()}) may not use it.",
            "Make it writable, or choose another one with --state-dir.",
        )
        return
    yield from _rights(scope, path)


def _rights(scope: Scope, path: Path) -> Iterator[Finding]:
    address = path / "owner.json"
    well = True
    for item, mode in ((path, 0o700), (address, 0o600)):
        if not item.exists() or not item.stat().st_mode & OTHERS:
            continue
        well = False
        yield repaired(
            scope,
            Finding(
                WARNING, f"Other users can read {item}, which contains tokens and payloads.", f"chmod {mode:o} {item}"
            ),
            lambda item=item, mode=mode: item.chmod(mode),  # type: ignore[misc]
            f"Its permissions are {mode:o} now.",
        )
    if well:
        yield Finding(OK, f"{path}, for this user only")


def file_system(scope: Scope) -> Iterator[Finding]:
    """Check that locks and the database really work there."""
    path = _nearest(scope.state)
    kind = _kind(path)
    with _probe(path) as probe:
        _try_lock(probe)
        try_wal(probe)
    if kind in NETWORK or kind.startswith(NETWORK_FUSE):
        yield Finding(
            WARNING,
            f"{path} is on a network file system ({kind}), where locks may fail.",
            "Use a --state-dir on a local disk.",
        )
        return
    yield Finding(OK, f"{kind or 'unknown type'}; locks and a database work")


def socket_file(scope: Scope) -> Iterator[Finding]:
    """Check that the Unix socket can be made in its place."""
    path = places.socket_path(scope.state)
    where = _nearest(path.parent)
    is_elsewhere = path.parent != scope.state
    if is_elsewhere and where == path.parent and where.stat().st_uid != os.getuid():
        yield Finding(PROBLEM, f"{where} belongs to another user.", "Choose a shorter --state-dir, or set TMPDIR.")
        return
    with _probe(where if is_elsewhere else _nearest(scope.state)) as probe:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = os.open(probe, os.O_RDONLY)
        try:  # by a short path: the full path may exceed the length limit
            bound.bind(f"/proc/self/fd/{here}/s" if Path("/proc/self/fd").is_dir() else str(probe / "s"))
        finally:
            os.close(here)
            bound.close()
    length = len(os.fsencode(path))
    why = f", because {scope.state} is too long for a socket" if is_elsewhere else ""
    yield Finding(OK, f"{path} ({length} of {places.SOCKET_PATH_LIMIT} bytes){why}")


def disk(scope: Scope) -> Iterator[Finding]:
    """Check that there is room for bytes and for files."""
    path = _nearest(scope.state)
    free = shutil.disk_usage(path).free
    files = os.statvfs(path)
    left = files.f_favail if files.f_files else LITTLE_FILES  # some file systems do not count files
    text = f"{sizes.spelled(free)} free" + (f", {left:,} files" if files.f_files else "")
    if free < NO_BYTES or left < NO_FILES:
        level = PROBLEM
    elif free < LITTLE_BYTES or left < LITTLE_FILES:
        level = WARNING
    else:
        yield Finding(OK, text)
        return
    yield Finding(
        level, f"Only {text} at {path}.", "Free some space, for example with: fabric-jobs state prune --older-than 30d"
    )


def _nearest(path: Path) -> Path:
    """Return the nearest existing directory upwards."""
    return next(item for item in (path, *path.parents) if item.is_dir())


@contextmanager
def _probe(path: Path) -> Iterator[Path]:
    """Make a directory for experiments, and remove it afterwards."""
    try:
        made = Path(tempfile.mkdtemp(dir=path, prefix=".doctor-"))
    except OSError as error:
        raise PlaceUnavailable(
            f"nothing can be written to {path}: {error.strerror}.", hint="Free some space, or make it writable."
        ) from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _try_lock(probe: Path) -> None:
    with open(probe / "lock", "w") as first, open(probe / "lock") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PlaceUnavailable(
                f"files in {probe.parent} cannot be locked: {error.strerror}.",
                hint="Use a --state-dir on a local disk.",
            ) from error
        try:
            fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise PlaceUnavailable(
        f"locks in {probe.parent} have no effect.",
        hint="Name a --state-dir on a local disk, since two owners could run there at once.",
    )


def _kind(path: Path) -> str:
    """Return the type of the file system, from Linux' list of mounts; empty if there is no list."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.split(" - ", 1)[1].split()[0] for line in lines if line.split()[2] == wanted and " - " in line]
    return kinds[-1] if kinds else ""

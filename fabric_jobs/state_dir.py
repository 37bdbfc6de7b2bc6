"""Where an owner keeps its state, and how others find it (docs/explanation/architecture.md)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fabric_jobs import whole_file

ATTEMPT_VARIABLE = "FABRIC_JOBS_ATTEMPT_DIRECTORY"  # in the environment of everything that an attempt starts here
SOCKET, SOCKETS = "owner.sock", "sockets"  # the second holds the directory of the first
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit is 108, or 104 on some systems
SECRETS_KEY = "secrets.key"
STATE_DIRECTORY = ".fabric-jobs"  # in the root of a workspace
OTHERS = stat.S_IRWXG | stat.S_IRWXO
MINE = 0o600
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"  # every pod has this variable
Identity = tuple[int, int]  # device and inode

_programs_umask: int | None = None


@dataclass(frozen=True, kw_only=True)
class Address:
    """How to reach a running owner. Only its user can read the file that holds this."""

    pid: int
    url: str  # http://HOST:PORT
    socket: str  # path of the Unix socket
    token: str
    version: str
    executor: str = "local"  # of invocations that name none
    engine: str = ""  # the Docker engine that its environment names: see `engine_named`
    directory: str = ""  # path of the state directory when this was written
    identity: list[int] | None = None  # its identity: this file may now be in a copy of it


def engine_named() -> str:
    """Return the Docker engine that the environment names, without asking docker."""
    return os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT", "")


def make(state_dir: Path) -> None:
    """Make a state directory that only its user can read: it holds tokens, keys and payloads.

    Close an existing one, and its files, to other users. Raises PermissionError when that is not possible.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = state_dir.stat()
    if found.st_mode & stat.S_ISVTX and found.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "all users share this directory")
    if found.st_mode & OTHERS:
        _close(state_dir, found)
    with os.scandir(state_dir) as found_there:
        entries = list(found_there)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_mode & OTHERS and entry.name != SECRETS_KEY:
                os.chmod(entry.path, MINE)
    if _is_open(attempts_dir(state_dir)):
        attempts_dir(state_dir).chmod(0o700)
    if state_dir.name == STATE_DIRECTORY or not entries:  # else it may hold the user's own files
        ignore_in_git(state_dir)


def ignore_in_git(directory: Path) -> None:
    """Make git ignore a directory, with its token and database; an existing .gitignore stays."""
    with suppress(FileExistsError), open(directory / ".gitignore", "x", opener=private_opener) as file:
        file.write("*\n")


def _is_open(path: Path) -> bool:
    """Return whether a path is a directory (not a link) that other users can access."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and bool(found.st_mode & OTHERS)


def _close(state_dir: Path, found: os.stat_result) -> None:
    try:
        state_dir.chmod(0o700)
    except PermissionError:
        # A cluster's volume belongs to root, and its user has access by the group; the files in it are for that user only.
        if found.st_uid not in (0, os.getuid()) or found.st_mode & stat.S_IWOTH:
            raise PermissionError(errno.EPERM, "other users can read it, and only its owner can change that") from None


@contextmanager
def private_files() -> Iterator[None]:
    """Make files that this process creates in the `with` block private, whatever modes SQLite and others ask for."""
    global _programs_umask
    before = os.umask(OTHERS)
    _programs_umask = before
    try:
        yield
    finally:
        _programs_umask = None
        os.umask(before)


def programs_umask() -> int:
    """Return the umask for programs: the one that this process had before `private_files`."""
    if _programs_umask is not None:
        return _programs_umask
    mask = os.umask(OTHERS)
    os.umask(mask)
    return mask


def private_opener(path: str, flags: int) -> int:
    """Open a file that only its user can access, for `open(…, opener=…)`; do not follow a link."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, MINE)
    try:
        if os.fstat(descriptor).st_mode & OTHERS:
            os.fchmod(descriptor, MINE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def identity(path: Path | str) -> Identity | None:
    """Return the identity of the directory that is now at a path; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def mark_of(found: Identity | None) -> str:
    """Return what tells a state directory from a copy of it. In a cluster its volume has another device on every node."""
    return repr(found[1:] if found is not None and IN_CLUSTER in os.environ else found)


def database_file(state_dir: Path) -> Path:
    """Return the path of the database."""
    return state_dir / "state.db"


def lock_file(state_dir: Path) -> Path:
    """Return the path of the file that the owner locks."""
    return state_dir / "owner.lock"


def log_file(state_dir: Path) -> Path:
    """Return the path of the owner's log."""
    return state_dir / "owner.log"


def secrets_key(state_dir: Path) -> Path:
    """Return the path of the key of the secrets. Its mode is never corrected: if others could read it, its user must know."""
    return state_dir / SECRETS_KEY


def attempts_dir(state_dir: Path) -> Path:
    """Return the directory in which the local executor keeps attempts."""
    return state_dir / "attempts"


def records_dir(state_dir: Path) -> Path:
    """Return the directory of records: of larger ones, in files."""
    return state_dir / "records"


def content_dir(state_dir: Path) -> Path:
    """Return the directory of managed content."""
    return state_dir / "content"


def deployed_dir(state_dir: Path) -> Path:
    """Return the directory of the project files of deployed APIs."""
    return state_dir / "deployed"


def is_at(path: Path, known: Identity | None) -> bool:
    """Return whether a directory is still at its path; when that is unknown, assume so."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return (found.st_dev, found.st_ino) == known


def socket_path(state_dir: Path) -> Path:
    """Return the path of the Unix socket: in the state directory, or elsewhere if that path is too long."""
    path = state_dir.absolute() / SOCKET
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    return next(_short(state_dir)) / SOCKET


def make_socket_path(state_dir: Path, name: str = SOCKET) -> Path:
    """Return the same, and make the directory if needed, so that no other user can use it.

    `name` is the path of another socket, relative to the state directory.

    The usual directory under the temporary directory may belong to another user. Then make one with a random name, and write
    the name down, since running programs keep the path.
    """
    path = state_dir.absolute() / name
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    for directory in _short(state_dir):
        with suppress(OSError):
            directory.mkdir(mode=0o700)
        if is_private(directory):
            break
    else:
        import tempfile

        directory = Path(tempfile.mkdtemp(prefix=f"{_name(state_dir)}-", dir=_temporary()))
    with open(state_dir / SOCKETS, "w", opener=private_opener) as file:
        file.write(str(directory))
    return directory / Path(name).name


def is_private(directory: Path) -> bool:
    """Return whether a path is a directory (not a link) that only this user can use."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & OTHERS


def _short(state_dir: Path) -> Iterator[Path]:
    """Yield the candidates for the socket's directory: the one used last, and the usual one."""
    name = _name(state_dir)
    with suppress(OSError, ValueError):
        kept = Path((state_dir / SOCKETS).read_text())
        if kept.name.startswith(name):  # for this state directory, not for an original that it was copied from
            yield kept
    yield _temporary() / name


def _name(state_dir: Path) -> str:
    # Late, like tempfile: most paths are short, and the first command of a workspace waits for this process.
    from hashlib import blake2b

    return f"fabric-jobs-{os.getuid()}-{blake2b(repr(identity(state_dir)).encode(), digest_size=8).hexdigest()}"


def _temporary() -> Path:
    import tempfile

    path = Path(tempfile.gettempdir())
    return path if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT // 3 else Path("/tmp")


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file; False when there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_address(state_dir: Path, address: Address) -> None:
    """Publish an address atomically."""
    found = identity(state_dir)
    address = replace(address, directory=str(state_dir.absolute()), identity=list(found) if found else None)
    whole_file.write(state_dir / "owner.json", json.dumps(asdict(address)))


def read_address(state_dir: Path) -> Address | None:
    """Return the last published address, or None; its owner may be gone.

    Ignore an address that was published in another directory, since this one may be a copy or a replacement of it.
    """
    try:
        address = Address(**json.loads((state_dir / "owner.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    here = identity(state_dir)
    if here is None or address.identity != list(here) or identity(address.directory) != here:
        return None
    where = Path(address.socket).parent
    return address if where == Path(address.directory) or is_private(where) else None


def forget_address(state_dir: Path) -> None:
    """Remove the published address."""
    (state_dir / "owner.json").unlink(missing_ok=True)

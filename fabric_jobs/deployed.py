"""Project files of deployed APIs: each project is a directory, named by a hash of what is in it.

A redeployment makes another directory, so that jobs keep the files of their version.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fabric_jobs import sizes, whole_file
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordTooLarge

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

ENVIRONMENT_FILE = ".env"  # of the root; it does not count for the limit of a project
ENVIRONMENT_BYTES = 1 << 20
SLACK_BYTES = 8 << 20  # an archive may be this much larger than its files: it has their names
FILES = 50_000  # of a project
PART_BYTES = 1 << 20
FRESH_SECONDS = 3600.0  # how long files stay that no definition refers to yet
NAME = re.compile(r"[0-9a-f]{64}")
PARTIAL = ".partial-"
AGAIN = "Pack it again; `fabric-jobs jobs deploy` does it right."

_lock = threading.Lock()  # one owner stores and sweeps


def keep(archive: Path, root: Path, limit: int) -> Path:
    """Unpack the zip archive of a project below `root`, durably, and return its directory; equal files have the same one.

    Raises InvalidInput for an archive that is none, or leads out of its directory, RecordTooLarge above `limit` bytes of
    files, PlaceUnavailable for a full disk.
    """
    import zlib  # late, like zipfile: few owners have APIs
    from zipfile import BadZipFile, ZipFile

    partial = root / f"{PARTIAL}{secrets.token_hex(8)}"
    try:
        with ZipFile(archive) as packed:
            members = _members(packed)
            target = root / _hash_of(packed, members, limit)
            if not _renewed(target):
                partial.mkdir(mode=0o700, parents=True)
                _unpack(packed, members, partial)
                partial.chmod(0o755)  # for containers; only this user gets into the state directory
                _name(partial, target)
            return target
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"the project's archive cannot be read: {error}.", hint=AGAIN) from error
    except OSError as error:
        raise PlaceUnavailable(
            f"the project's files cannot be written to {root}: {error.strerror or error}.",
            hint="Nothing was deployed. Free some space on that disk (`fabric-jobs state prune`), then deploy again.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def clear(root: Path) -> None:
    """Remove what deployments of an earlier owner have left."""
    for path in root.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def unused(root: Path, is_used: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the directories of projects that nothing refers to, except fresh ones."""
    found = sorted(root.iterdir()) if root.is_dir() else []
    for path in (path for path in found if NAME.fullmatch(path.name)):
        if not _is_fresh(path) and not is_used(path):
            yield path


def sweep(root: Path, is_used: Callable[[Path], bool]) -> int:
    """Remove the directories of projects that nothing refers to, except fresh ones; return how many."""
    count = 0
    for path in unused(root, is_used):
        partial = root / f"{PARTIAL}{secrets.token_hex(8)}"
        with _lock:
            if _is_fresh(path) or is_used(path):  # it was deployed again meanwhile
                continue
            path.rename(partial)
        shutil.rmtree(partial, ignore_errors=True)
        count += 1
    return count


def _is_fresh(path: Path) -> bool:
    return time.time() - path.stat().st_mtime < FRESH_SECONDS


def _renewed(target: Path) -> bool:
    """Make a directory that is there fresh again; return False if there is none."""
    with _lock:
        if not target.is_dir():
            return False
        os.utime(target)
        return True


def _name(partial: Path, target: Path) -> None:
    """Give a complete directory its name, unless there is one meanwhile."""
    if _renewed(target):
        return
    with _lock:
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    whole_file.sync(target.parent, target.parent.parent)


def _members(packed: ZipFile) -> list[ZipInfo]:
    """Return the files of an archive by name; raise ValueError for one that would not stay below the root."""
    members = sorted((member for member in packed.infolist() if not member.is_dir()), key=lambda each: each.filename)
    if len(members) > FILES:
        raise RecordTooLarge(f"the project has {len(members):,} files, over the limit of {FILES:,}.")
    for member in members:
        _parts(member)
    return members


def _hash_of(packed: ZipFile, members: list[ZipInfo], limit: int) -> str:
    """Return the hash of names, kinds and contents; nothing is written yet, since mostly the files are known."""
    whole, left = hashlib.sha256(), limit
    for member in members:
        is_environment = member.filename == ENVIRONMENT_FILE
        digest, size = hashlib.sha256(), 0
        for part in _content(packed, member):
            size += len(part)
            _check_size(member, size, ENVIRONMENT_BYTES if is_environment else left)
            digest.update(part)
        left -= 0 if is_environment else size
        whole.update(f"{member.filename}\0{_is_program(member):d}\0{digest.hexdigest()}\0".encode())
    return whole.hexdigest()


def _check_size(member: ZipInfo, size: int, limit: int) -> None:
    if size > limit:
        raise RecordTooLarge(
            f"the project is over the limit of {sizes.spelled(limit)} at {member.filename}.",
            hint="Leave files out with .cortexignore, or raise FABRIC_JOBS_PROJECT_BYTES of the gateway.",
        )


def _content(packed: ZipFile, member: ZipInfo) -> Iterator[bytes]:
    """Yield what a file contains; raise ValueError if it cannot be read, also where the archive leads to before its beginning."""
    try:
        with packed.open(member) as source:
            while part := source.read(PART_BYTES):
                yield part
    except OSError as error:
        raise ValueError(f"{member.filename}: {error.strerror or error}") from error


def _is_program(member: ZipInfo) -> bool:
    return bool(member.external_attr >> 16 & stat.S_IXUSR)


def _unpack(packed: ZipFile, members: list[ZipInfo], root: Path) -> None:
    """Unpack files durably."""
    directories = {root}
    for member in members:
        path = root.joinpath(*_parts(member))
        directories.update(_made(path, root, directories))
        _write(packed, member, path)
    whole_file.sync(*directories)


def _parts(member: ZipInfo) -> list[str]:
    """Return the parts of a file's path; raise ValueError unless it stays below the root."""
    name = member.filename
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or not name.isprintable():
        raise ValueError(f"'{name[:200]}' is not the name of a file in it")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise ValueError(f"'{name}' is not a plain file")
    return parts


def _made(path: Path, root: Path, known: set[Path]) -> list[Path]:
    """Make the directories above a file that are not known yet, and return them."""
    missing = [parent for parent in path.parents if parent.is_relative_to(root) and parent not in known]
    for parent in reversed(missing):
        try:
            parent.mkdir()
        except FileExistsError:
            raise ValueError(f"'{parent.relative_to(root)}' is a file and a directory in it") from None
        parent.chmod(0o755)
    return missing


def _write(packed: ZipFile, member: ZipInfo, path: Path) -> None:
    """Write one file durably."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ValueError(f"'{member.filename}' is in it twice") from None
    with open(descriptor, "wb") as target:
        for part in _content(packed, member):
            target.write(part)
        target.flush()
        os.fchmod(target.fileno(), 0o755 if _is_program(member) else 0o644)
        os.fsync(target.fileno())

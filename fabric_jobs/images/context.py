"""Lists the build context of an image, the files that Docker gets, and hashes it to detect changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.errors import InvalidDefinition, Problem
from fabric_jobs.images.ignore import Ignore, Matched, read_ignore
from fabric_jobs.state_dir import STATE_DIRECTORY
from fabric_jobs.user_files import DOCKERFILE, read_bytes

HASH_LENGTH = 12  # hex digits
# Python writes it beside imported modules. It adds nothing to the source, and a local run must not count as a change.
NOT_HASHED = "__pycache__"
BLOCK = 1 << 20


def context_paths(directory: Path) -> Iterator[str]:
    """Yield the files, links and directories sent to Docker: paths below `directory` with '/', sorted."""
    yield from _sent(directory, "", read_ignore(directory), ())


def content_hash(directory: Path) -> str:
    """Return the hash of an image's source: names, permissions, links and bytes, and the Dockerfile.

    Permissions count, since Docker keeps them; owners and times do not. Raise InvalidDefinition for anything
    unreadable.
    """
    from hashlib import sha256  # late: it loads a large library

    whole = sha256(_digest_of_dockerfile(directory / DOCKERFILE))
    for path in context_paths(directory):
        if NOT_HASHED in path.split("/"):
            continue
        name = os.fsencode(path)
        whole.update(b"\n%d %s " % (len(name), name))
        whole.update(_what(directory / path))
    return whole.hexdigest()[:HASH_LENGTH]


def _sent(directory: Path, below: str, ignore: Ignore, above: Matched) -> Iterator[str]:
    try:
        with os.scandir(directory / below) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(directory / below, error) from None
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        if path == STATE_DIRECTORY:
            continue  # a skill that is itself a workspace: its state has a token
        ignored, matched = ignore.match(path, above)
        if not ignored:
            yield path
        if entry.is_dir(follow_symlinks=False) and (not ignored or ignore.has_exceptions):
            yield from _sent(directory, path, ignore, matched)


def _what(path: Path) -> bytes:
    """Return a letter for the kind of file, its permissions, and its content."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return b"l" + os.fsencode(os.readlink(path))
    except OSError as error:
        raise _unreadable(path, error) from None
    if stat.S_ISREG(mode):
        return b"f%04o " % stat.S_IMODE(mode) + _digest(path)
    return (
        b"d%04o" % stat.S_IMODE(mode) if stat.S_ISDIR(mode) else b"o"
    )  # opening a pipe would block, since nobody writes to it


def _digest_of_dockerfile(path: Path) -> bytes:
    from hashlib import sha256

    try:
        return sha256(read_bytes(path)).digest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _digest(path: Path) -> bytes:
    from hashlib import sha256

    digest = sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.digest()


def _unreadable(path: Path, error: OSError) -> InvalidDefinition:
    message = f"the file cannot be read, so no image can be built from it: {error.strerror}"
    return InvalidDefinition((Problem.of_file(path, message),))

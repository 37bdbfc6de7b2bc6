"""Reads files that people write: regular files of bounded size, as text without a byte order mark.

Any problem with a file is an OSError whose `strerror` describes it, like that of a missing file.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from fabric_jobs.state_dir import STATE_DIRECTORY

FILE_BYTES = 64 << 20  # the limit of a file, unless a smaller one is given
WORKSPACE_SIGNS = ("skills", STATE_DIRECTORY)  # the root of a workspace has one of these
DOCKERFILE = "Dockerfile"
HELD = ("skills", "agents")  # files below these directories belong to the workspace

UTF_8 = "UTF-8"
# Longest first, since UTF-32's mark begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_text(path: Path, *, limit: int = FILE_BYTES) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark; raise OSError as `read_bytes` does."""
    return decoded(read_bytes(path, limit=limit))


def read_bytes(path: Path, *, limit: int = FILE_BYTES) -> bytes:
    """Return the bytes of a file.

    Raise OSError also for a pipe or a device, which could block; for more than `limit` bytes; and for a link that leads
    out of its workspace.
    """
    _check_kind(os.stat(path), path)  # before opening it, which can have side effects for a device
    _check_link(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        _check_kind(os.fstat(descriptor), path)  # it may have been replaced meanwhile
        return read_some(file, limit=limit)


def read_some(file: BinaryIO, *, limit: int = FILE_BYTES) -> bytes:
    """Return all bytes of an open file; raise OSError above `limit` bytes."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is longer than {limit:,} bytes")
    return data


def decoded(data: bytes, *, errors: str = "strict") -> str:
    """Return UTF-8 bytes as text without a byte order mark; raise OSError, which names a different encoding if detected."""
    mark, encoding = mark_of(data)
    if encoding not in ("", UTF_8):
        raise OSError(errno.EILSEQ, f"it is in {encoding}; save it as {UTF_8}")
    try:
        return data[len(mark) :].decode(errors=errors)
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, f"it is not valid {UTF_8} from byte {error.start:,}; save it as {UTF_8}") from None


def mark_of(data: bytes) -> tuple[bytes, str]:
    """Return the byte order mark at the beginning of a text, and its encoding; both are empty when there is none."""
    return next((found for found in MARKS if data.startswith(found[0])), (b"", ""))


def program_directory(source: Path, action: str) -> Path:
    """Return the directory in which an action's program runs: actions/<name>, or that of its skill when there is none."""
    directory = source / "actions" / action
    return directory if directory.is_dir() else source


def built_from(source: Path, action: str) -> Path:
    """Return the directory that an action's image is built from: actions/<name>, or in older skills that of skill.yaml."""
    directory = source / "actions" / action
    return source if not directory.is_dir() and (source / DOCKERFILE).is_file() else directory


def _check_kind(status: os.stat_result, path: Path) -> None:
    kind = next((words for is_kind, words in KINDS if is_kind(status.st_mode)), "")
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def _check_link(path: Path) -> None:
    """Raise OSError for a file that is a link out of its workspace; linked directories are allowed."""
    if not path.is_symlink():
        return
    real, home, root = Path(os.path.realpath(path)), os.path.realpath(path.parent), workspace_of(path)
    if root is not None and not real.is_relative_to(home) and not real.is_relative_to(os.path.realpath(root)):
        raise OSError(errno.EPERM, f"it is a link to {real}, which is outside of the workspace", str(path))


def workspace_of(path: Path) -> Path | None:
    """Return the root of the workspace that contains a file of a skill or an agent; None when there is none."""
    if any((path.parent / sign).is_dir() for sign in WORKSPACE_SIGNS):
        return path.parent  # for an agent.yaml or a skill.yaml in the root
    for inner, directory in pairwise(path.absolute().parents):
        is_root = any((directory / sign).is_dir() for sign in WORKSPACE_SIGNS)
        if inner.name in HELD and is_root:
            return directory
    return None

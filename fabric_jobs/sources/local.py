"""Lists and reads files of this machine."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator, Sequence

from fabric_jobs.errors import InvalidInput
from fabric_jobs.sources.globs import SPECIAL, Glob
from fabric_jobs.sources.paths import SourceFile, SourcePath, is_glob

PIECE_BYTES = 1 << 20  # read at a time
WINDOW = 20_000  # names of a directory that are in memory at a time


class LocalFiles:
    """A file, the files below a directory, or those that a glob matches; links to directories are not followed."""

    def __init__(self, path: SourcePath, roots: Sequence[str] | None) -> None:
        """`roots` are the directories that files have to be in, wherever links lead; None: any."""
        self._path = path
        self._roots = None if roots is None else [os.path.realpath(root).rstrip("/") + "/" for root in roots]

    def after(self, key: str) -> Iterator[SourceFile]:
        """Yield the files whose path is above `key`, in the order of their paths; raise InvalidInput."""
        for path in self._paths(self._path.key, key):
            if path > key:
                yield self._file(path)

    def pieces(self, file: SourceFile, at: int) -> Iterator[bytes]:
        """Yield the bytes of a file from an offset on; raise InvalidInput if it cannot be read, or has changed."""
        try:
            with open(os.open(file.key, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0) as opened:
                self._check(_real(opened.fileno(), file.key))
                if _version(os.fstat(opened.fileno())) != file.version:
                    raise _changed(file)
                while at < file.size:
                    piece = os.pread(opened.fileno(), min(PIECE_BYTES, file.size - at), at)
                    if not piece:
                        raise _changed(file)
                    yield piece
                    at += len(piece)
        except OSError as error:
            raise InvalidInput(f"{file.name} cannot be read: {error.strerror or error}.") from error

    def _paths(self, path: str, key: str) -> Iterator[str]:
        base = _base(path)
        self._check(os.path.realpath(base))  # before anything is told of what is there
        if is_glob(path):
            glob = Glob(path)
            yield from (found for found in self._walk(base, key) if glob.matches(found))
        elif os.path.isdir(path):
            yield from self._walk(path, key)
        elif os.path.isfile(path):
            yield path
        else:
            raise InvalidInput(
                f"{self._path.text} is neither a file nor a directory here.",
                hint="Write a path of the machine that the owner runs on.",
            )

    def _walk(self, directory: str, key: str) -> Iterator[str]:
        pending = [_entries(directory.rstrip("/") + "/", key)]
        while pending:
            path = next(pending[-1], None)
            if path is None:
                pending.pop()
            elif path.endswith("/"):
                pending.append(_entries(path, key))
            else:
                yield path

    def _file(self, path: str) -> SourceFile:
        try:
            path.encode()
            found = os.stat(path)
            version = _version(found)
        except UnicodeEncodeError:
            raise InvalidInput(f"the name of {path!r} is not UTF-8, so it cannot be an item.") from None
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
        self._check(os.path.realpath(path))
        return SourceFile(self._path.prefix + path, path, found.st_size, version)

    def _check(self, real: str) -> None:
        """Raise InvalidInput unless a path, which has no links, may be read."""
        if self._roots is not None and not any(f"{real}/".startswith(root) for root in self._roots):
            raise InvalidInput(
                f"{self._path.text} leads to {real}, which this caller may not read.",
                hint="FABRIC_JOBS_SOURCE_PATHS of the owner lists the directories that other callers may read.",
            )


def _base(path: str) -> str:
    """Return the directory in which a glob begins, if a path may be one."""
    first = min((at for char in SPECIAL if (at := path.find(char)) >= 0), default=-1)
    return path if first < 0 else path[: path.rindex("/", 0, first + 1)] or "/"


def _entries(directory: str, key: str) -> Iterator[str]:
    """Yield the paths in a directory that are above `key`, or above which something may be; those of directories end in `/`."""
    last = ""
    while True:
        wanted = (path for path in _scan(directory) if path > last and (path > key or key.startswith(path)))
        found = heapq.nsmallest(WINDOW, wanted)
        yield from found
        if len(found) < WINDOW:
            return
        last = found[-1]


def _scan(directory: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield f"{entry.path}/"
                elif entry.is_file():
                    yield entry.path
    except OSError as error:
        raise InvalidInput(f"{directory} cannot be listed: {error.strerror}.") from error


def _version(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is not a regular file")
    return f"{found.st_size}-{found.st_mtime_ns}"


def _real(descriptor: int, path: str) -> str:
    """Return the path of an open file without links: what is checked is what is read."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(path)


def _changed(file: SourceFile) -> InvalidInput:
    return InvalidInput(f"{file.name} has changed since the job began to read it.", hint="Submit the job again.")

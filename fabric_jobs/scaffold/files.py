"""Reads trees of files into memory, and writes them atomically."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import AlreadyExists, FabricJobsError, InvalidInput, PlaceUnavailable
from fabric_jobs.state_dir import STATE_DIRECTORY

# pip compiles every .py file of a wheel, even in templates and examples; the result is not source.
# The state directory of a workspace belongs to the machine that it was made on.
NOT_SOURCE = frozenset({"__pycache__", STATE_DIRECTORY})


def read_tree(directory: Path) -> dict[str, bytes]:
    """Return the files below `directory`, sorted, as {path with '/': content}, without NOT_SOURCE directories."""
    files: dict[str, bytes] = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and NOT_SOURCE.isdisjoint(relative.parts):
            files[relative.as_posix()] = path.read_bytes()
    return files


def write_new(files: Mapping[str, bytes], root: Path, *, executable: Collection[str] = frozenset()) -> tuple[Path, ...]:
    """Write `files` ({path below root: content}) and return their paths in that order. Make directories as needed.

    Those in `executable` can be run by everybody who can read them.
    All or nothing: on any error, or an interrupt, every file and directory that this call made is removed.
    Raise AlreadyExists if one of the files exists (nothing is ever overwritten), InvalidInput if a path leads
    outside `root` or through a file, and PlaceUnavailable if the disk fails.
    """
    targets = {root / path: content for path, content in files.items()}
    made: list[Path] = []
    with disk_errors(root):
        for target in targets:
            _check_new(target, root)
        try:
            for target, content in targets.items():
                _make_directories(target.parent, made)
                _write_file(target, content, made)
            for path in executable:
                mode = (root / path).stat().st_mode
                (root / path).chmod(mode | (mode & 0o444) >> 2)
        except BaseException:
            _remove(made)
            raise
    return tuple(targets)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically. Make directories as needed. Raise as `write_new` does."""
    target = path.resolve()  # a link's target is replaced, not the link
    with disk_errors(path):
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a device or a pipe has nothing to replace
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(target, content, mode=whole_file.SHARED)


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn each OSError of the block into an error that says what to do. It names `place` if the OSError has no path."""
    try:
        yield
    except OSError as error:
        raise _explained(error, Path(os.fsdecode(error.filename or place))) from error


def _explained(error: OSError, path: Path) -> FabricJobsError:
    if isinstance(error, FileExistsError):
        return AlreadyExists(f"{path} already exists, so nothing was written.", hint="Choose another name.")
    if isinstance(error, NotADirectoryError):
        return InvalidInput(f"{path} cannot be written, because a part of this path is a file, not a directory.")
    return PlaceUnavailable(
        f"{path} cannot be written: {error.strerror or error}. Nothing was left behind.",
        hint="Check that the disk has free space and that you may write there.",
    )


def _check_new(target: Path, root: Path) -> None:
    # resolve() follows links: neither '..' nor a link below the root may lead out of it.
    if not target.resolve().is_relative_to(root.resolve()):
        raise InvalidInput(f"{target} is outside of {root}; nothing was written.")
    if os.path.lexists(target):
        raise FileExistsError(0, "is there already", str(target))


def _make_directories(directory: Path, made: list[Path]) -> None:
    missing = [path for path in (directory, *directory.parents) if not path.is_dir()]
    for path in reversed(missing):
        try:
            path.mkdir()
        except FileExistsError as error:
            if path.is_dir():  # somebody else has just made it, so it stays
                continue
            raise NotADirectoryError(error.errno, "is a file", str(path)) from error
        made.append(path)


def _write_file(path: Path, content: bytes, made: list[Path]) -> None:
    with path.open("xb") as file:
        made.append(path)
        file.write(content)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):  # a directory that somebody else has filled stays
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()

"""Trees of files as values: reads one, writes one atomically."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import AlreadyExists, FabricJobsError, InvalidInput, PlaceUnavailable
from fabric_jobs.state_dir import STATE_DIRECTORY

# pip compiles every .py of a wheel, also those of templates and examples; what it leaves is nobody's source.
# The state directory of a workspace belongs to the machine that it was made on.
NOT_SOURCE = frozenset({"__pycache__", STATE_DIRECTORY})


def read_tree(directory: Path) -> dict[str, bytes]:
    """Return the files below `directory`, sorted, as {path with '/': content}; NOT_SOURCE directories are left out."""
    files: dict[str, bytes] = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and NOT_SOURCE.isdisjoint(relative.parts):
            files[relative.as_posix()] = path.read_bytes()
    return files


def write_new(files: Mapping[str, bytes], root: Path, *, executable: Collection[str] = frozenset()) -> tuple[Path, ...]:
    """Write `files` ({path below root: content}) and return their paths in that order; make directories as needed.

    Whoever may read one of `executable` may also run it.
    All or nothing: whatever goes wrong, also an interrupt, removes every file and directory that this call made.
    Raise AlreadyExists when one of the files is there (nothing is ever overwritten), InvalidInput when a path leads
    outside `root` or through a file, PlaceUnavailable when the disk refuses.
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
    """Write a file whole, in place of what was there; make directories as needed. Raise as `write_new` does."""
    target = path.resolve()  # what a link leads to is replaced, not the link
    with disk_errors(path):
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a device or a pipe: there is nothing to replace
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(target, content, mode=whole_file.SHARED)


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn every OSError of the block into an error to act on; it names `place` when the OSError names no path."""
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
            if path.is_dir():  # somebody else made it in this moment, so it is theirs to remove
                continue
            raise NotADirectoryError(error.errno, "is a file", str(path)) from error
        made.append(path)


def _write_file(path: Path, content: bytes, made: list[Path]) -> None:
    with path.open("xb") as file:
        made.append(path)
        file.write(content)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):  # a directory that somebody else has put something into stays
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()

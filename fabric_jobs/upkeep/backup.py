"""Backups while everything runs: first the database as it is at one moment, then content and the logs of attempts.

A backup is a state directory, or an archive of one. It leaves out the process ids and locks of attempts, so that an
owner of the copy never touches a process of the original.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fabric_jobs.blobs import Blobs
from fabric_jobs.errors import AlreadyExists, FabricJobsError, InvalidInput, PlaceUnavailable
from fabric_jobs.state_dir import content_dir, deployed_dir, ignore_in_git, records_dir
from fabric_jobs.store import Store
from fabric_jobs.store.audit import Stop, files_of, unaccepted
from fabric_jobs.store.copy import copy
from fabric_jobs.upkeep import content

ARCHIVES = {".tar": "w|", ".tar.gz": "w|gz", ".tgz": "w|gz"}
OTHER_ARCHIVES = (".zip", ".bz2", ".xz", ".zst", ".gz", ".7z")
LEFT_OUT = frozenset({"begun", "lock", "pid"})  # files of an attempt that describe a process
READ_BYTES = 1 << 20
PARTIAL = ".fabric-jobs-partial"  # these files get deleted, so only we may use the name


@dataclass(frozen=True, kw_only=True)
class BackupWanted:
    """What to copy, and where."""

    destination: Path
    logs: bool = True


class Backup:
    """One backup in its thread; its attributes show its progress."""

    def __init__(self, wanted: BackupWanted, store: Store, blobs: Blobs, attempts: Path, stop: Stop) -> None:
        self.destination = wanted.destination
        self.pages = (0, 0)  # copied, all
        self.files = 0
        self.bytes = 0  # of the files
        self.error: FabricJobsError | None = None
        self._wanted = wanted
        self._store = store
        self._database = store.path
        self._blobs = blobs
        self._attempts = attempts
        self._stop = stop
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)

    @classmethod
    def start(
        cls, before: Backup | None, wanted: BackupWanted, store: Store, blobs: Blobs, attempts: Path, stop: Stop
    ) -> Backup:
        """Begin a backup; raise AlreadyExists or InvalidInput when it cannot begin."""
        if before is not None and not before.ended:
            raise AlreadyExists(
                f"a backup to {before.destination} is already running.",
                hint="Wait until it is finished, then run the command again.",
            )
        check_destination(wanted.destination, store.path.parent)
        backup = cls(wanted, store, blobs, attempts, stop)
        backup._thread.start()
        return backup

    @property
    def ended(self) -> bool:
        """Whether it is over, successful or not."""
        return self._done.is_set()

    def join(self) -> None:
        """Wait until it is over."""
        self._thread.join()

    def _run(self) -> None:
        partial = self.destination.with_name(f"{self.destination.name}{PARTIAL}")
        self.error = PlaceUnavailable("the backup was not completed.", hint="See the log of the owner.")
        try:
            self._write(partial)
            self.error = None
        except FabricJobsError as error:
            self.error = error
        except OSError as error:
            self.error = PlaceUnavailable(
                f"the backup cannot be written: {error.strerror or error}.",
                hint=f"Check the free space and the permissions of {self.destination.parent}. Nothing was left there.",
            )
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            with suppress(OSError):
                partial.with_name(f"{partial.name}.tar").unlink(missing_ok=True)
            self._done.set()

    def _write(self, partial: Path) -> None:
        """Make a state directory, or an archive with only the database beside it, under a temporary name; then rename it."""
        shutil.rmtree(partial, ignore_errors=True)  # left by a killed backup
        partial.mkdir(mode=0o700)
        with self._store.files.held(), self._blobs.held():  # so that files stay until they are copied, too
            copy(self._database, partial / self._database.name, self._copied, self._stop)
            (partial / self._database.name).chmod(0o600)
            mode = archive_mode(self.destination)
            if mode:
                whole = partial.with_name(f"{partial.name}.tar")
                self._pack(partial, whole, mode)
            else:
                whole = partial
                ignore_in_git(partial)
                for source, name, end in self._files(partial):
                    self._copy_file(source, partial / name, end)
        _sync(whole)
        whole.rename(self.destination)

    def _copied(self, pages: int, total: int) -> None:
        self.pages = (pages, total)

    def _files(self, partial: Path) -> Iterator[tuple[Path, Path, int | None]]:
        """Yield files, their names in a state directory, and where the last reference of a row ends (None: all)."""
        root = records_dir(self._database.parent)
        for name, end in files_of(partial / self._database.name):
            self._go_on()
            yield root / name, Path(root.name) / name, end
        root = content_dir(self._database.parent)
        for path, size in content.files(partial / self._database.name, self._blobs):
            self._go_on()
            yield path, Path(root.name) / path.relative_to(root), size
        root = deployed_dir(self._database.parent)
        for place, _, names in os.walk(root):
            for name in sorted(names):
                self._go_on()
                yield Path(place, name), Path(root.name) / Path(place, name).relative_to(root), None
        begun = unaccepted(partial / self._database.name)
        for place, directories, names in os.walk(self._attempts) if self._wanted.logs else ():
            depth = len(Path(place).relative_to(self._attempts).parts)
            # In the copy these attempts start anew, and must not find what was printed here.
            directories[:] = sorted(name for name in directories if depth or name not in begun)
            for name in sorted(names):
                self._go_on()
                source = Path(place) / name
                if (depth == 1 and name in LEFT_OUT) or not source.is_file() or source.is_symlink():
                    continue
                yield source, Path(self._attempts.name) / source.relative_to(self._attempts), None

    def _go_on(self) -> None:
        if self._stop():
            raise PlaceUnavailable("the owner is ending.", hint="Type the command again.")

    def _copy_file(self, source: Path, target: Path, end: int | None) -> None:
        """Copy a file at its current length; with `end`, whose bytes up to there never change, link it or copy those."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if end is not None:
            with suppress(OSError):  # another disk
                os.link(source, target)
                self._count(end)
                return
        with suppress(FileNotFoundError), open(source, "rb") as file:
            status = os.fstat(file.fileno())
            size = status.st_size if end is None else end
            with open(target, "wb") as copied:
                os.fchmod(copied.fileno(), stat.S_IMODE(status.st_mode))
                for part in _parts(file, size):
                    copied.write(part)
                if end is not None:
                    copied.flush()
                    os.fsync(copied.fileno())
            self._count(size)

    def _pack(self, partial: Path, whole: Path, mode: str) -> None:
        import tarfile  # late: most owners make no archive

        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
            archive.add(partial / self._database.name, self._database.name)
            for source, name, end in self._files(partial):
                with suppress(FileNotFoundError), open(source, "rb") as file:
                    member = archive.gettarinfo(arcname=str(name), fileobj=file)
                    if end is not None:
                        member.size = min(member.size, end)
                    archive.addfile(member, file)  # at the noted length, without later output
                    self._count(member.size)

    def _count(self, size: int) -> None:
        self.files += 1
        self.bytes += size


def archive_mode(destination: Path) -> str:
    """Return tarfile's mode for an archive of that name; empty for a directory."""
    return next((mode for suffix, mode in ARCHIVES.items() if destination.name.endswith(suffix)), "")


def check_destination(destination: Path, state_dir: Path) -> None:
    """Raise InvalidInput or AlreadyExists unless a backup can be made there."""
    if not destination.is_absolute():
        raise InvalidInput(f"'{destination}' is not an absolute path.")
    if destination.name.endswith(OTHER_ARCHIVES) and not archive_mode(destination):
        raise InvalidInput(
            f"{destination.name} is not the name of an archive.",
            hint="Use .tar, .tar.gz or .tgz, or name a directory.",
        )
    parent = _parent(destination)
    if state_dir.resolve() in (parent, *parent.parents):
        raise InvalidInput(
            f"{destination} is inside the state directory.", hint="Choose a path outside of the state directory."
        )


def _parent(destination: Path) -> Path:
    """Return the directory to make a backup in; raise AlreadyExists or InvalidInput when it cannot be made there."""
    try:
        is_there = destination.exists() or destination.is_symlink()
        parent = destination.parent.resolve()
        is_directory = parent.is_dir()
    except (OSError, RuntimeError) as error:  # name too long, no permission, a loop of links
        raise InvalidInput(f"the backup cannot be made: {error}.", hint="Choose another path.") from error
    if is_there:
        raise AlreadyExists(f"{destination} already exists, and is not overwritten.", hint="Choose another name.")
    if not is_directory:
        raise InvalidInput(f"{destination.parent} is not a directory.", hint="Create it, or choose another path.")
    return parent


def _parts(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (part := file.read(min(READ_BYTES, size))):
        size -= len(part)
        yield part


def _sync(path: Path) -> None:
    """Sync an archive before it gets its name; the database in a directory is already synced."""
    if path.is_file():
        with open(path, "rb") as file:
            os.fsync(file.fileno())

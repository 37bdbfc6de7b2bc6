"""Watches the files of a skill: which have changed, and when changes stop."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from fabric_jobs.workspace.testing.cases import EXPECTED

LOOK_SECONDS = 0.2  # between two looks at a skill's few files
QUIET_SECONDS = 0.1  # an editor moves, writes and renames; it is done after this long without changes

SKIPPED_DIRECTORIES = frozenset({"__pycache__", "node_modules"})
# Hidden files, temporary files of editors, and files that no run reads.
SKIPPED_FILES = re.compile(rf"\..*|.*~|#.*#|4913|.*\.(?:py[co]|sw[a-p]|tmp)|{re.escape(EXPECTED)}")

Stamp = tuple[int, int, int]  # change time, size, and inode, since an editor may replace the file


class Watched:
    """The files below a directory, and some others. Only their stamps are remembered."""

    def __init__(self, directory: Path, *, others: Iterable[Path] = (), ignored: Iterable[str] = ()) -> None:
        """`ignored` has patterns of paths below `directory`, or of file names."""
        self._directory = directory
        self._others = tuple(others)
        self._ignored = tuple(ignored)
        self._made: set[Path] = set()
        self._known: dict[Path, Stamp] = self._look()

    def __len__(self) -> int:
        """Return how many files are watched."""
        return len(self._known)

    def settle(self) -> None:
        """Return once nothing changes any more; later changes are measured from that state."""
        before = self._look()
        while True:
            time.sleep(QUIET_SECONDS)
            now = self._look()
            if now == before:
                break
            before = now
        self._known = now

    def changed(self) -> list[str]:
        """Return the paths that were changed, added or removed, in readable form."""
        now = self._look()
        paths = {path for path, _ in now.items() ^ self._known.items()}
        return sorted(map(self._shown, paths))

    def absorb(self) -> None:
        """Treat files added since the last look as the program's own, and stop watching them."""
        self._made |= self._look().keys() - self._known.keys()

    def wait(self) -> list[str]:
        """Wait until some paths have changed, and return them."""
        while not (found := self.changed()):
            time.sleep(LOOK_SECONDS)
        return found

    def made_by_runs(self) -> list[str]:
        """Return the files that were added during runs and still exist; an editor's temporary files do not."""
        return sorted(self._shown(path) for path in self._made if path.exists())

    def _look(self) -> dict[Path, Stamp]:
        found: dict[Path, Stamp] = {}
        for path in (*self._files(self._directory), *self._others):
            try:
                status = os.stat(path)
            except OSError:
                continue  # an editor is just replacing it
            if stat.S_ISREG(status.st_mode) and path not in self._made:
                found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def _files(self, directory: Path) -> Iterator[Path]:
        for top, inner, files in os.walk(directory):
            if "pyvenv.cfg" in files:  # a virtual environment: thousands of files that nobody edits
                inner.clear()
                continue
            inner[:] = [name for name in inner if not name.startswith(".") and name not in SKIPPED_DIRECTORIES]
            for name in files:
                path = Path(top, name)
                if not SKIPPED_FILES.fullmatch(name) and not self._is_ignored(path):
                    yield path

    def _is_ignored(self, path: Path) -> bool:
        relative = path.relative_to(self._directory).as_posix()
        return any(fnmatch(relative, pattern) or fnmatch(path.name, pattern) for pattern in self._ignored)

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._directory).as_posix() if path.is_relative_to(self._directory) else str(path)

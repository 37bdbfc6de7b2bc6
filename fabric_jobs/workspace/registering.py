"""Keeps the definitions of a gateway up to date with its workspace: all files at the start, changed ones later."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fabric_jobs.documents import Document, agent_of
from fabric_jobs.documents.shown import as_stored
from fabric_jobs.errors import FabricJobsError, InvalidDefinition
from fabric_jobs.store import Store, Tx, definitions
from fabric_jobs.store.definitions import NewDefinition, Programs
from fabric_jobs.workspace.older import ACTION_FILE, completed
from fabric_jobs.workspace.tree import SKILL_FILES, Workspace, documents_in, load_skill, name_of

Stamp = tuple[int, int, int]
Found = tuple[str, str, Any, Programs]  # kind, name, document, and the places of its programs
LOCAL = "local"

log = logging.getLogger(__name__)


class Registration:
    """The definitions of one workspace at one gateway. Several threads may call its methods."""

    def __init__(self, root: Path, store: Store, project_id: str, executor: str) -> None:
        self._workspace = Workspace(root)
        self._store = store
        self._project_id = project_id
        self._executor = executor  # the default executor; one other than local needs images
        self._stamps: dict[Path, tuple[Stamp, ...]] | None = None
        self._broken: dict[tuple[str, str], tuple[Path, FabricJobsError]] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Save the definitions whose files have changed since the last look; log errors, and keep them for `check`."""
        with self._lock:
            stamps = self._stamped()
            before = self._stamps
            if stamps == before:
                return
            changed = [path for path, stamp in stamps.items() if before is None or before.get(path) != stamp]
            self._broken = {
                what: (path, error)
                for what, (path, error) in self._broken.items()
                if path in stamps and path not in changed
            }
            found = list(self._read(changed))
            later = [path for path, error in self._broken.values() if not isinstance(error, InvalidDefinition)]
            if found:
                self._store.write(lambda tx: self._save(tx, found, is_first=before is None)).result()
            # Not those of `later`, which are read again at the next look: their images may be built meanwhile.
            self._stamps = {path: stamp for path, stamp in stamps.items() if path not in later}

    def check(self, kind: str, names: Iterable[str]) -> None:
        """Raise the error in the current file of one of these definitions, if there is one."""
        with self._lock:
            for name in names:
                if (kind, name) in self._broken:
                    raise self._broken[kind, name][1]

    def _stamped(self) -> dict[Path, tuple[Stamp, ...]]:
        """Return the stamps of the files of each definition, by the path of its own file."""
        found = {path: (_stamp(path), _stamp(path.parent / ACTION_FILE)) for path in self._workspace.skill_paths()}
        return found | {path: (_stamp(path),) for path in self._workspace.agent_paths()}

    def _read(self, paths: Iterable[Path]) -> Iterator[Found]:
        for path in paths:
            kind = "skill" if path.name in SKILL_FILES else "agent"
            stem = path.parent.name if kind == "skill" or path.stem == "agent" else path.stem
            try:
                documents = documents_in(path)
            except FabricJobsError as error:
                self._keep(kind, stem, path, error)
                continue
            for document in documents:
                try:
                    yield self._skill(path, document) if kind == "skill" else _agent(document)
                except FabricJobsError as error:
                    self._keep(kind, name_of(document) or stem, path, error)

    def _keep(self, kind: str, name: str, path: Path, error: FabricJobsError) -> None:
        log.warning("not registered: %s", error)
        self._broken[kind, name] = path, error

    def _skill(self, path: Path, document: Document) -> Found:
        found = load_skill(path, completed(document, path.parent))
        images = {}
        if self._executor != LOCAL:
            from fabric_jobs.workspace.images import images_of  # late: most gateways need no images

            images = images_of(found)
        return (
            "skill",
            found.skill.name,
            found.document,
            Programs(source=str(found.directory.absolute()), images=images),
        )

    def _save(self, tx: Tx, found: list[Found], *, is_first: bool) -> None:
        for kind, name, body, programs in found:
            saved = definitions.find(tx, self._project_id, kind, name)
            if is_first and kind == "skill" and saved is not None and not saved.source:
                continue  # it was published: the file does not say which images it has
            plain = as_stored(json.loads(json.dumps(body)))
            new = NewDefinition(project_id=self._project_id, kind=kind, name=name, body=plain, programs=programs)
            definitions.save(tx, new)


def _agent(document: Document) -> Found:
    return "agent", agent_of(document)[0].name, document.plain(), Programs()


def _stamp(path: Path) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino

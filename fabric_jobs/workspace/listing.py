"""Lists the skills or agents of a workspace; a broken file is listed with its error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fabric_jobs.documents import Document, agent_of, skill_of
from fabric_jobs.errors import InvalidDefinition, shown
from fabric_jobs.workspace.root import API_FILE
from fabric_jobs.workspace.tree import SKILL_FILES, Workspace, name_of, read_file, skill_documents


def listing(root: Path, kind: str) -> list[dict[str, Any]]:
    """Return {name, title, ports, file, problems} of every skill or agent, by name; ports are inputs or services."""
    workspace = Workspace(root)
    paths = workspace.skill_paths() if kind == "skill" else workspace.agent_paths()
    entries = [entry for path in paths for entry in _entries(path, kind)]
    return sorted(entries, key=lambda entry: str(entry["name"]))


def _entries(path: Path, kind: str) -> list[dict[str, Any]]:
    try:
        documents = skill_documents(path) if kind == "skill" else (read_file(path),)
    except InvalidDefinition as error:
        return [_broken("", path, error)]
    return [_entry(path, kind, document) for document in documents]


def _entry(path: Path, kind: str, document: Document) -> dict[str, Any]:
    try:
        found = skill_of(document)[0] if kind == "skill" else agent_of(document)[0]
    except InvalidDefinition as error:
        return _broken(name_of(document) if path.name == API_FILE else "", path, error)
    ports = [port.name for port in found.inputs]
    return {"name": found.name, "title": found.title, "ports": ports, "file": shown(path), "problems": 0}


def _broken(name: str, path: Path, error: InvalidDefinition) -> dict[str, Any]:
    stem = path.parent.name if path.name in SKILL_FILES or path.stem == "agent" else path.stem
    return {"name": name or stem, "title": "", "ports": [], "file": shown(path), "problems": len(error.problems)}

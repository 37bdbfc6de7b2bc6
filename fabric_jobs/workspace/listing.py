"""Lists the skills or agents of a workspace; a broken file is listed with its error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fabric_jobs.documents import agent_of, skill_of
from fabric_jobs.errors import InvalidDefinition, shown
from fabric_jobs.workspace.tree import Workspace, read_file, read_skill_file


def listing(root: Path, kind: str) -> list[dict[str, Any]]:
    """Return {name, title, ports, file, problems} of every skill or agent, by name; ports are inputs or services."""
    workspace = Workspace(root)
    paths = workspace.skill_paths() if kind == "skill" else workspace.agent_paths()
    return sorted((_entry(path, kind) for path in paths), key=lambda entry: str(entry["name"]))


def _entry(path: Path, kind: str) -> dict[str, Any]:
    try:
        found = skill_of(read_skill_file(path))[0] if kind == "skill" else agent_of(read_file(path))[0]
    except InvalidDefinition as error:
        stem = path.parent.name if path.stem in ("skill", "agent") else path.stem
        return {"name": stem, "title": "", "ports": [], "file": shown(path), "problems": len(error.problems)}
    ports = [port.name for port in found.inputs]
    return {"name": found.name, "title": found.title, "ports": ports, "file": shown(path), "problems": 0}

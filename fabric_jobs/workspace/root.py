"""Finds the root of a workspace, without loading the parser of definitions."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.errors import NotFound
from fabric_jobs.state_dir import STATE_DIRECTORY
from fabric_jobs.user_files import HELD

SKILL_FILE = "skill.yaml"
API_FILE = "cortex.yaml"  # Batch and Task APIs, which are skills of the workspace
AGENT_SUFFIXES = (".yaml", ".yml", ".json")
ROOT_AGENTS = tuple(
    f"agent{suffix}" for suffix in AGENT_SUFFIXES
)  # docs/reference/compatibility.md#definitions-in-the-root


def find_root(start: Path, given: Path | None) -> Path:
    """Return the root of the workspace: `given`, else the nearest directory from `start` upwards that is one.

    A workspace holds skills/ or .fabric-jobs/, or is one skill, agent or API file that belongs to no other workspace. Raise
    NotFound if `given` is not a directory, or none is found.
    """
    if given is not None:
        if given.is_dir():
            return given.absolute()
        raise NotFound(f"the workspace {given} is not a directory.", hint="Name a directory that contains skills/.")
    origin = start.absolute()
    single: Path | None = None
    for directory in (origin, *origin.parents):
        if (directory / "skills").is_dir() or (directory / STATE_DIRECTORY).is_dir():
            is_apart = single and not any(single.is_relative_to(directory / held) for held in HELD)
            return single if single and is_apart else directory
        if single is None and any((directory / name).is_file() for name in (SKILL_FILE, API_FILE, *ROOT_AGENTS)):
            single = directory
    if single is not None:
        return single
    raise NotFound(
        f"{origin} is not in a workspace: neither it nor a directory above it contains skills/, skill.yaml or cortex.yaml.",
        hint="Change to your workspace, name it with --workspace, or create one with 'fabric-jobs workspaces generate'.",
    )

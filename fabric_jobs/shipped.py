"""Finds the files that ship with the code: templates, examples, schemas."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import NotFound
from fabric_jobs.state_dir import STATE_DIRECTORY

PACKAGE = Path(__file__).resolve().parent
SCHEMAS = "schemas"  # in the state directory of a workspace
UPWARDS = {
    "skill": "../../",
    "agent": "../",
    "schedules": "",
    "api": "../../",
}  # from skills/NAME/skill.yaml and so on to their workspace


def templates_dir() -> Path:
    """Return the directory that has one directory per skill template; raise NotFound when this installation has none."""
    return _shipped("skill_templates")


def examples_dir() -> Path:
    """Return the directory that has one workspace per example; raise NotFound when this installation has none."""
    return _shipped("agents")


def deployment_dir() -> Path:
    """Return the directory of a gateway's objects in a cluster; raise NotFound when this installation has none."""
    return _shipped("deploy/kubernetes")


def schema_address(kind: str) -> str:
    """Return the path by which a `kind` of definition (skill, agent, schedules or api) names its JSON Schema, the same everywhere.

    The path is relative to the definition. `put_schemas` puts the schema there.
    """
    return f"{UPWARDS[kind]}{STATE_DIRECTORY}/{SCHEMAS}/{kind}.schema.json"


def put_schemas(state_dir: Path) -> None:
    """Copy the JSON Schemas of this installation to where definitions name them. Only editors use them."""
    directory = state_dir / SCHEMAS
    with suppress(OSError):
        directory.mkdir(mode=0o700, exist_ok=True)
        for kind in UPWARDS:
            target, content = directory / schema_file(kind).name, schema_file(kind).read_bytes()
            if not target.is_file() or target.read_bytes() != content:
                whole_file.write(target, content, mode=whole_file.SHARED)


def schema_file(kind: str) -> Path:
    """Return the file with the JSON Schema of a `kind` (skill, agent, schedules or api)."""
    return PACKAGE / "schemas" / f"{kind}.schema.json"


def _shipped(name: str) -> Path:
    # They are inside the package in a wheel, and beside it in a checkout.
    for directory in (PACKAGE / "_shipped" / name, PACKAGE.parent / name):
        if directory.is_dir():
            return directory
    raise NotFound(
        f"the directory '{name}' of fabric-jobs is missing next to {PACKAGE}.",
        hint="Install it again: pip install --force-reinstall fabric-jobs",
    )

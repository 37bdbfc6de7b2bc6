"""Where the files that ship beside the code are: templates, examples, schemas."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.errors import NotFound

PACKAGE = Path(__file__).resolve().parent


def templates_dir() -> Path:
    """Return the directory with one directory per skill template; raise NotFound when this installation has none."""
    return _shipped("skill_templates")


def examples_dir() -> Path:
    """Return the directory with one workspace per example; raise NotFound when this installation has none."""
    return _shipped("agents")


def schema_address(kind: str) -> str:
    """Return what an editor needs to find the JSON Schema of a `kind` (skill or agent) of this installation."""
    path = schema_file(kind)
    # Editors read the address up to the first blank; only the URI form can write a blank otherwise.
    return path.as_uri() if any(character.isspace() for character in str(path)) else str(path)


def schema_file(kind: str) -> Path:
    """Return the file of the JSON Schema of a `kind` (skill or agent)."""
    return PACKAGE / "schemas" / f"{kind}.schema.json"


def _shipped(name: str) -> Path:
    # A wheel has them inside the package; a checkout has them beside it.
    for directory in (PACKAGE / "_shipped" / name, PACKAGE.parent / name):
        if directory.is_dir():
            return directory
    raise NotFound(
        f"the directory '{name}' that ships with fabric-jobs is missing beside {PACKAGE}.",
        hint="Install it again: pip install --force-reinstall fabric-jobs",
    )

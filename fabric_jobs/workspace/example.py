"""Copies an example workspace from the installation."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from fabric_jobs import shipped
from fabric_jobs.errors import AlreadyExists, NotFound
from fabric_jobs.names import nearest
from fabric_jobs.scaffold.files import disk_errors, read_tree, write_new
from fabric_jobs.user_files import built_from
from fabric_jobs.workspace.schemas import put_schemas

DATA = "data"  # the directory of an example's data
SCHEMA_LINE = re.compile(rb"(# yaml-language-server: \$schema=)\S*?(skill|agent)\.schema\.json(?=\r?\n)")


def copy_example(name: str, destination: Path) -> Path:
    """Copy the example workspace `name` to `destination`, which is new or an empty directory, and return `destination`.

    All or nothing. Raise NotFound, with the nearest name, for an unknown example; AlreadyExists if the destination is
    not empty; PlaceUnavailable if the disk refuses.
    """
    examples = {path.name: path for path in sorted(shipped.examples_dir().iterdir()) if path.is_dir()}
    if name not in examples:
        raise NotFound(f"there is no example '{name}'.", hint=nearest(name, examples))
    with disk_errors(destination):
        if destination.is_dir() and any(destination.iterdir()):
            raise AlreadyExists(
                f"{destination} already exists and is not empty, so nothing was copied.",
                hint="Choose another directory, or continue in this one.",
            )
        files = read_tree(examples[name])
    write_new({path: _with_schema(path, content) for path, content in files.items()}, destination)
    put_schemas(destination)
    return destination


def put_data_into_image(root: Path) -> None:
    """Copy the data of the example `flights` to where the image of its first skill is built: pods see no workspace."""
    target = built_from(root / "skills" / "read-flights", "read-flights") / DATA
    with disk_errors(target):
        target.mkdir(exist_ok=True)
        for path in (root / DATA).iterdir():
            if not (target / path.name).exists():
                shutil.copy(path, target / path.name)


def _with_schema(path: str, content: bytes) -> bytes:
    # The example's first line points to the schema of the checkout; a copy needs its own line.
    found = SCHEMA_LINE.match(content) if path.endswith(".yaml") else None
    if not found:
        return content
    return found[1] + shipped.schema_address(found[2].decode()).encode() + content[found.end() :]

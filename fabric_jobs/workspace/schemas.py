"""The JSON Schemas of a workspace, which its generated definitions name for editors."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fabric_jobs import shipped, state_dir


def put_schemas(root: Path) -> None:
    """Put the schemas of this installation into the workspace `root`; without them everything works but completion."""
    directory = root / state_dir.STATE_DIRECTORY
    with suppress(OSError):
        state_dir.make(directory)
        shipped.put_schemas(directory)

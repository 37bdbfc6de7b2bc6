"""The JSON Schemas of a workspace, which generated definitions point editors to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fabric_jobs import shipped, state_dir


def put_schemas(root: Path) -> None:
    """Put this installation's schemas into the workspace `root`. Only completion in editors needs them."""
    directory = root / state_dir.STATE_DIRECTORY
    with suppress(OSError):
        state_dir.make(directory)
        shipped.put_schemas(directory)

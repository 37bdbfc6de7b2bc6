"""The files in which a user keeps settings: where they are, and how one is written."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import InvalidInput


def config_dir() -> Path:
    """Return the directory of the user's configuration; it need not be there."""
    given = os.environ.get("FABRIC_JOBS_CONFIG_DIR")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "fabric-jobs"


def write_config(path: Path, lines: list[str]) -> None:
    """Replace a file of the configuration; only this user can read it. Raises InvalidInput when it cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole_file.write(path, "\n".join(lines))
    except OSError as error:
        hint = "Name another directory with FABRIC_JOBS_CONFIG_DIR."
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", hint=hint) from error


def quoted(text: str) -> str:
    """Return a text as a basic string of TOML, which is one of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

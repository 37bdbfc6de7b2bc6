"""The files in which a user keeps settings: where they are, and how one is replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fabric_jobs.errors import InvalidInput

PRIVATE = 0o600  # what may hold a token is for its user only


def config_dir() -> Path:
    """Return the directory of the user's configuration; it need not be there."""
    given = os.environ.get("FABRIC_JOBS_CONFIG_DIR")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "fabric-jobs"


def replace_file(path: Path, text: str, mode: int = PRIVATE) -> None:
    """Write a file, whole or not at all; raise OSError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)  # it may have been the disk that is full
        raise


def write_config(path: Path, lines: list[str]) -> None:
    """Replace a file of the configuration; only this user can read it. Raises InvalidInput when it cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, "\n".join(lines))
    except OSError as error:
        hint = "Name another directory with FABRIC_JOBS_CONFIG_DIR."
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", hint=hint) from error


def quoted(text: str) -> str:
    """Return a text as a basic string of TOML, which is one of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""The settings files of a user: finds, reads and writes them."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fabric_jobs import whole_file
from fabric_jobs.errors import InvalidInput
from fabric_jobs.user_files import read_text

T = TypeVar("T")


def config_dir() -> Path:
    """Return the directory of the user's configuration; it may not exist."""
    given = os.environ.get("FABRIC_JOBS_CONFIG_DIR")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "fabric-jobs"


def read_config(path: Path, parse: Callable[[dict[str, Any]], T], *, hint: str) -> T:
    """Return the result of `parse` for a configuration file, which may not exist; raise InvalidInput with `hint`."""
    try:
        return parse(tomllib.loads(read_text(path)) if path.exists() else {})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint=hint) from error


def texts(table: Mapping[str, Any], keys: Collection[str]) -> dict[str, str]:
    """Return a table if its values are texts and its keys are among `keys`; raise ValueError otherwise."""
    unknown = sorted(table.keys() - set(keys))
    if unknown:
        raise ValueError(f"unknown key '{unknown[0]}'")
    if not all(isinstance(value, str) for value in table.values()):
        raise ValueError("every value must be text in quotes")
    return dict(table)


def write_config(path: Path, section: str, tables: Mapping[str, Mapping[str, str]], *, active: str = "") -> None:
    """Replace a configuration file, readable by this user only; raise InvalidInput when it cannot be written."""
    lines = [f"active = {_quoted(active)}", ""] if active else []
    for name, table in sorted(tables.items()):
        lines += [f"[{section}.{_quoted(name)}]", *(f"{key} = {_quoted(value)}" for key, value in table.items()), ""]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole_file.write(path, "\n".join(lines))
    except OSError as error:
        hint = "Choose another directory with FABRIC_JOBS_CONFIG_DIR."
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", hint=hint) from error


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML: a JSON string is one."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Named gateways, in a file of this user: `profiles.toml`."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from fabric_jobs.client.remote import Remote
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.names import nearest

KEYS = {"url", "token", "project"}


def profiles_file() -> Path:
    """Return the path of the file."""
    given = os.environ.get("FABRIC_JOBS_CONFIG_DIR")
    if given:
        return Path(given) / "profiles.toml"
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "fabric-jobs" / "profiles.toml"


def read_profiles() -> dict[str, Remote]:
    """Return all profiles by name; raise InvalidInput when the file is not what it should be."""
    path = profiles_file()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("profiles", {})
        return {name: _remote(values) for name, values in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        hint = 'A profile is [profiles.NAME] with the lines url = "…" and token = "…".'
        raise InvalidInput(f"{path} cannot be read: {error}", hint=hint) from error


def find_profile(name: str) -> Remote:
    """Return one profile; raise NotFound."""
    found = read_profiles()
    if name not in found:
        hint = nearest(name, list(found)) or f"Make it: fabric-jobs profiles set {name} --url URL --token TOKEN"
        raise NotFound(f"there is no profile '{name}' in {profiles_file()}.", hint=hint)
    return found[name]


def write_profiles(profiles: dict[str, Remote]) -> None:
    """Replace the file, whole or not at all; only this user can read it."""
    path = profiles_file()
    lines = []
    for name, remote in sorted(profiles.items()):
        lines += [f"[profiles.{_quoted(name)}]", f"url = {_quoted(remote.url)}", f"token = {_quoted(remote.token)}"]
        lines += [f"project = {_quoted(remote.project_id)}", ""]
    partial = path.with_name(f"profiles.toml.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        partial.rename(path)
    except OSError as error:
        hint = "Name another directory with FABRIC_JOBS_CONFIG_DIR."
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", hint=hint) from error


def _remote(values: dict[str, str]) -> Remote:
    unknown = values.keys() - KEYS
    if unknown:
        raise ValueError(f"unknown key '{sorted(unknown)[0]}'")
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("every value is a text in quotes")
    return Remote(url=values.get("url", ""), token=values.get("token", ""), project_id=values.get("project", "local"))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # a basic string of TOML is one of JSON

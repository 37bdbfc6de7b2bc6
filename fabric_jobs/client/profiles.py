"""Named gateways, in a file of this user: `profiles.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from fabric_jobs.client.remote import Remote
from fabric_jobs.config_files import config_dir, quoted, write_config
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.names import nearest
from fabric_jobs.user_files import read_text

KEYS = {"url", "token", "project"}


def profiles_file() -> Path:
    """Return the path of the file."""
    return config_dir() / "profiles.toml"


def read_profiles() -> dict[str, Remote]:
    """Return all profiles by name; raise InvalidInput when the file is not what it should be."""
    path = profiles_file()
    try:
        found = tomllib.loads(read_text(path)).get("profiles", {})
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
    lines = []
    for name, remote in sorted(profiles.items()):
        lines += [f"[profiles.{quoted(name)}]", f"url = {quoted(remote.url)}", f"token = {quoted(remote.token)}"]
        lines += [f"project = {quoted(remote.project_id)}", ""]
    write_config(profiles_file(), lines)


def _remote(values: dict[str, str]) -> Remote:
    unknown = values.keys() - KEYS
    if unknown:
        raise ValueError(f"unknown key '{sorted(unknown)[0]}'")
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("every value must be text in quotes")
    return Remote(url=values.get("url", ""), token=values.get("token", ""), project_id=values.get("project", "local"))

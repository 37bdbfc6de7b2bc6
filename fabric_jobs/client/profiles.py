"""Named gateways, in a file of this user: `profiles.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fabric_jobs.client.remote import Remote
from fabric_jobs.client.token_files import TokenFile
from fabric_jobs.config_files import config_dir, read_config, texts, write_config
from fabric_jobs.errors import NotFound
from fabric_jobs.names import nearest

KEYS = {"url", "token", "project"}


def profiles_file() -> Path:
    """Return the path of the file."""
    return config_dir() / "profiles.toml"


def read_profiles() -> dict[str, Remote]:
    """Return all profiles by name; raise InvalidInput if the file is malformed."""
    hint = 'A profile is [profiles.NAME] with the lines url = "…" and token = "…".'
    return read_config(profiles_file(), _profiles, hint=hint)


def find_profile(name: str) -> Remote:
    """Return one profile, or that of a token file: a name with a slash or that ends in .json. Raises NotFound or InvalidInput."""
    if "/" in name or name.endswith(".json"):
        key = TokenFile.read(Path(name).expanduser())
        return Remote(url=key.url, token="", project_id=key.project_id, key=key)
    found = read_profiles()
    if name not in found:
        hint = nearest(name, list(found)) or f"Make it: fabric-jobs profiles set {name} --url URL --token TOKEN"
        raise NotFound(f"there is no profile '{name}' in {profiles_file()}.", hint=hint)
    return found[name]


def write_profiles(profiles: dict[str, Remote]) -> None:
    """Replace the file, atomically; only this user can read it."""
    tables = {
        name: {"url": remote.url, "token": remote.token, "project": remote.project_id}
        for name, remote in profiles.items()
    }
    write_config(profiles_file(), "profiles", tables)


def _profiles(value: dict[str, Any]) -> dict[str, Remote]:
    return {name: _remote(texts(table, KEYS)) for name, table in value.get("profiles", {}).items()}


def _remote(values: dict[str, str]) -> Remote:
    return Remote(url=values.get("url", ""), token=values.get("token", ""), project_id=values.get("project", "local"))

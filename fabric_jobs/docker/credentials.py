"""Reads docker's logins: whether a registry has one, and what a push or a pull sends to the engine."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
SECONDS = 10.0  # a credential helper that takes longer is waiting for a person


def docker_config_file() -> Path:
    """Return the file in which docker keeps its settings."""
    given = os.environ.get("DOCKER_CONFIG")
    return (Path(given) if given else Path.home() / ".docker") / "config.json"


def docker_config() -> Any:
    """Return docker's settings, unchecked. Raise OSError or ValueError."""
    return json.loads(docker_config_file().read_text(encoding="utf-8"))


def header_of(reference: str) -> dict[str, str]:
    """Return the HTTP header with which the engine logs in to the registry of an image; without a login, one that says so.

    The login is read anew each time. An unreadable one counts as none, as in the `docker` command; the registry then decides.
    """
    from docker import auth, errors

    login = None
    if docker_config_file().exists():  # otherwise the library searches where the command does not
        wrong = (errors.DockerException, OSError, ValueError, TypeError, AttributeError)
        with suppress(*wrong), warnings.catch_warnings(action="ignore"):  # a credential helper may be missing
            registry, _ = auth.resolve_repository_name(reference)
            login = auth.AuthConfig.load_config(str(docker_config_file()), None).resolve_authconfig(registry)
    return {"X-Registry-Auth": auth.encode_header(login or {}).decode()}


def keeps_unencrypted(host: str) -> bool:
    """Tell whether the login for HOST[:PORT] is stored in docker's settings file itself."""
    try:
        stored = docker_config().get("auths") or {}
        return any(_is_same(server, host) and _is_filled(entry) for server, entry in stored.items())
    except (OSError, ValueError, AttributeError):
        return False


def has_credentials(host: str) -> bool | None:
    """Tell whether docker has credentials for HOST[:PORT]; None if unknown."""
    if not docker_config_file().exists():
        return False
    try:
        config = docker_config()
        helpers, stored = config.get("credHelpers") or {}, config.get("auths") or {}
        helper = next((name for server, name in helpers.items() if _is_same(server, host)), config.get("credsStore"))
        known = _servers_of(helper) if helper else [server for server, entry in stored.items() if _is_filled(entry)]
    except (OSError, ValueError, TypeError, AttributeError, subprocess.SubprocessError):
        return None
    return any(_is_same(server, host) for server in known)


def _servers_of(helper: str) -> list[str]:
    """Return the servers for which a credential helper has a login. Its list has user names, but no passwords."""
    words = [f"docker-credential-{helper}", "list"]
    said = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=True).stdout
    return list(json.loads(said))


def _is_filled(entry: Any) -> bool:
    return isinstance(entry, dict) and any(entry.get(key) for key in ("auth", "identitytoken", "registrytoken"))


def _is_same(server: str, host: str) -> bool:
    """Tell whether docker's name of a server is this host. Docker stores some with a scheme and a path."""
    name = server.partition("://")[2] or server
    name = name.partition("/")[0].lower()
    return name == host or (name in HUB and host in HUB)

"""Whether docker has credentials for a registry. They are looked for where docker keeps them, and never read."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
SECONDS = 10.0  # a credential helper that takes longer asks somebody something


def docker_config_file() -> Path:
    """Return the file in which docker keeps its settings."""
    given = os.environ.get("DOCKER_CONFIG")
    return (Path(given) if given else Path.home() / ".docker") / "config.json"


def has_credentials(host: str) -> bool | None:
    """Tell whether docker has credentials for HOST[:PORT]; None when that cannot be found out."""
    if not docker_config_file().exists():
        return False
    try:
        config = json.loads(docker_config_file().read_text(encoding="utf-8"))
        helpers, stored = config.get("credHelpers") or {}, config.get("auths") or {}
        helper = next((name for server, name in helpers.items() if _is_same(server, host)), config.get("credsStore"))
        known = _servers_of(helper) if helper else [server for server, entry in stored.items() if _is_filled(entry)]
    except (OSError, ValueError, TypeError, AttributeError, subprocess.SubprocessError):
        return None
    return any(_is_same(server, host) for server in known)


def _servers_of(helper: str) -> list[str]:
    """Return the servers that a credential helper has something for; it tells their user names too, and no passwords."""
    words = [f"docker-credential-{helper}", "list"]
    said = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=True).stdout
    return list(json.loads(said))


def _is_filled(entry: Any) -> bool:
    return isinstance(entry, dict) and any(entry.get(key) for key in ("auth", "identitytoken", "registrytoken"))


def _is_same(server: str, host: str) -> bool:
    """Tell whether docker means this host; it keeps some with a scheme and a path."""
    name = server.partition("://")[2] or server
    name = name.partition("/")[0].lower()
    return name == host or (name in HUB and host in HUB)

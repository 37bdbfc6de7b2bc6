"""Finds the Docker engine, by DOCKER_HOST or the context of the `docker` command, and makes the library's client for it."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from fabric_jobs.docker.credentials import docker_config, docker_config_file
from fabric_jobs.errors import ExecutorUnavailable

USUAL = "unix:///var/run/docker.sock"
DEFAULT = "default"  # the context that is always there
CONNECTIONS = 64  # kept open; each running attempt needs one
CONTACT_SECONDS = 30  # how long to wait for the engine's version
TIMEOUT = 60  # seconds to wait for any later answer


def engine_url() -> str:
    """Return where the engine is, such as unix:///var/run/docker.sock."""
    return os.environ.get("DOCKER_HOST") or str(_context().get("base_url") or USUAL)


def make_client(url: str) -> Any:
    """Return a client. The library has no types."""
    from docker.api.client import APIClient
    from docker.utils import kwargs_from_env

    wanted = kwargs_from_env() if os.environ.get("DOCKER_HOST") else _context()
    wanted["base_url"] = url
    is_ssh = url.startswith("ssh://")
    made = APIClient(
        **wanted, version="auto", timeout=CONTACT_SECONDS, max_pool_size=CONNECTIONS, use_ssh_client=is_ssh
    )
    made.timeout = TIMEOUT
    return made


def _context() -> dict[str, Any]:
    from docker.context import ContextAPI

    name = os.environ.get("DOCKER_CONTEXT") or _current_context()
    if name != DEFAULT and ContextAPI.get_context(name) is None:
        host = _context_host(name)
        if host:
            return {"base_url": host}
        hint = "List the contexts with `docker context ls`. Correct DOCKER_CONTEXT, or choose one with `docker context use`."
        raise ExecutorUnavailable(f"there is no docker context '{name}'.", hint=hint)
    found: dict[str, Any] = ContextAPI.kwargs_from_context(name)
    return found


def _current_context() -> str:
    try:
        return str(docker_config().get("currentContext") or DEFAULT)
    except (OSError, ValueError, AttributeError):  # the command itself reports these
        return DEFAULT


def _context_host(name: str) -> str:
    """Return the address of a context. The library ignores contexts in a directory without a config.json."""
    directory = docker_config_file().parent
    path = directory / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        return str(json.loads(path.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

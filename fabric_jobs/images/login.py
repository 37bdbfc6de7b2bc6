"""Logs in to a registry with the docker command, which stores the login in its credential store."""

from __future__ import annotations

from fabric_jobs.docker.credentials import HUB, docker_config_file, keeps_unencrypted
from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.images import docker_command
from fabric_jobs.images.registries import Registry

SECONDS = 60.0  # the engine tries several addresses before giving up
FROM_THE_ENGINE = "Error response from daemon: "


def log_in(registry: Registry, username: str, password: str) -> list[str]:
    """Log in, and return docker's warnings. The password goes to docker through a pipe, and nowhere else.

    Raise PlaceUnavailable if the registry rejects the login or does not answer.
    """
    if not username or not password:
        missing = "password" if username else "user"
        raise InvalidInput(
            f"the {missing} is empty.", hint="Pipe the password in: --username USER --password-stdin < FILE"
        )
    words = ["login", "--username", username, "--password-stdin"]
    words += [] if registry.host in HUB else [registry.host]
    answer = docker_command.run(*words, text=password, seconds=SECONDS)
    if answer.code:
        said = _plain(answer.errors) or _plain(answer.output)
        raise PlaceUnavailable(
            f"the registry {registry.host} refuses the login of '{username}': {said}",
            hint="Nothing was added. Check the user, the password and the address, and whether the registry is running.",
        )
    if keeps_unencrypted(registry.host):
        return [
            f"docker stores the login unencrypted in {docker_config_file()}; use a credential helper to avoid this."
        ]
    return []


def _plain(said: str) -> str:
    """Return docker's message for people, without its log lines."""
    lines = [line.removeprefix(FROM_THE_ENGINE) for line in said.splitlines() if line.strip()]
    return "\n".join(line for line in lines if not line.startswith('time="'))

"""Logs in to a registry with the docker command, which keeps the login in its credential store."""

from __future__ import annotations

from fabric_jobs.errors import FabricJobsError, InvalidInput, NotAllowed, PlaceUnavailable
from fabric_jobs.images import docker_command
from fabric_jobs.images.credentials import HUB, docker_config_file
from fabric_jobs.images.registries import Registry

SECONDS = 60.0  # the engine tries several addresses before it gives up
REFUSED = ("unauthorized", "forbidden", "denied", "incorrect username or password")


def log_in(registry: Registry, username: str, password: str) -> list[str]:
    """Log in, and return what docker warns of. The password goes to docker through a pipe, and nowhere else.

    Raise NotAllowed for a wrong user or password, PlaceUnavailable when the registry or the engine does not answer.
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
        raise _failure(registry, username, plain(answer.errors) or plain(answer.output))
    if "unencrypted" in answer.errors:
        return [f"docker keeps the login unencrypted in {docker_config_file()}; a credential helper would not."]
    return []


def plain(said: str) -> str:
    """Return what docker says to people, without the notes that it writes for its log."""
    lines = [line.removeprefix("Error response from daemon: ") for line in said.splitlines() if line.strip()]
    return "\n".join(line for line in lines if not line.startswith('time="'))


def _failure(registry: Registry, username: str, said: str) -> FabricJobsError:
    no_engine = docker_command.refusal(said)
    if no_engine is not None:
        return no_engine
    if any(word in said.lower() for word in REFUSED):
        message = f"the registry {registry.host} does not take this password of '{username}': {said}"
        return NotAllowed(message, hint="Nothing was added. Check user and password, and try again.")
    message = f"there is no login at the registry {registry.host}: {said}"
    return PlaceUnavailable(message, hint="Nothing was added. Check the address, and whether the registry runs.")

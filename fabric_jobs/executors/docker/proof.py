"""Tests whether containers reach the gateway at an advertised address, with a container of the image that is to run."""

from __future__ import annotations

import secrets

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone, Refused
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import probe
from fabric_jobs.executors.docker.describe import OWNER, Surroundings
from fabric_jobs.executors.docker.frames import frames

PATIENCE_SECONDS = 30.0  # longer than the check takes


def prove(engine: DockerEngine, image: str, url: str, around: Surroundings) -> None:
    """Raise InvalidInput if a container of `image` does not reach `url`. An image without Python passes untested."""
    name = f"fabric-jobs-{around.owner}-proof-{secrets.token_hex(4)}"
    config = {
        "Image": image,
        "Entrypoint": probe.command(url),
        "Cmd": [],
        "Labels": {OWNER: around.owner},
        "HostConfig": {"NetworkMode": around.network, "ExtraHosts": list(around.hosts), "CapDrop": ["ALL"]},
    }
    try:
        engine.create(name, config)
        engine.start(name)
        code = engine.wait(name, PATIENCE_SECONDS)
        with engine.logs(name, follow=False) as log:
            said = b"".join(text.partition(b" ")[2] for _, text in frames(log)).decode(errors="replace").strip()
    except (Gone, Refused):
        return  # no Python in the image
    finally:
        engine.remove(name)
    if code == probe.UNREACHED:
        raise InvalidInput(
            f"a container on the Docker engine at {engine.url} cannot reach this gateway at {url}: {said}.",
            hint="Open the firewall, serve on that address (--host), or choose another one with --advertise.",
        )

"""What the benchmarks need of a Docker engine: images that they may remove, and the network that a container had."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ADD . /app
WORKDIR /app
"""


def docker(*words: str) -> str:
    """Return what a `docker` command prints; raise RuntimeError with what it says when it fails."""
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"docker {words[0]}: {ended.stderr}")
    return ended.stdout


def base_image() -> str:
    """Return the image with a Python that FABRIC_JOBS_TEST_BASE_IMAGE names, as it does for the tests."""
    found = os.environ.get("FABRIC_JOBS_TEST_BASE_IMAGE")
    if not found:
        raise SystemExit("Name an image that has a Python 3.11 or newer in FABRIC_JOBS_TEST_BASE_IMAGE.")
    return found


def new_name() -> str:
    """Return a name for an image that nobody else has."""
    return f"fabric-jobs-benchmark:{uuid.uuid4().hex}"


@contextmanager
def tagged() -> Iterator[str]:
    """Yield another name of the base image, which nobody else uses."""
    image = new_name()
    docker("tag", base_image(), image)
    try:
        yield image
    finally:
        docker("image", "rm", "--force", image)


@contextmanager
def built(image: str, context: Path) -> Iterator[None]:
    """Have an image of that name, with a directory in /app."""
    (context / "Dockerfile").write_text(DOCKERFILE)
    docker("build", "--quiet", "--build-arg", f"BASE_IMAGE={base_image()}", "--tag", image, str(context))
    try:
        yield
    finally:
        docker("image", "rm", "--force", image)


def check_in_container(record: Mapping[str, Any]) -> None:
    """Raise RuntimeError unless an activation ran in containers and ended well."""
    if (record["status"], record.get("executor")) != ("COMPLETE", "docker"):
        raise RuntimeError(f"it did not end well, or did not run in a container: {record}")


def network_of(image: str, since: float, until: float) -> str:
    """Return the network that the container of an image was connected to; the times are those of the run, in seconds."""
    span = ("events", "--since", f"{since:.9f}", "--until", f"{until:.9f}")
    mine = ("--filter", f"image={image}", "--format", "{{.Actor.ID}}")
    containers = docker(*span, "--filter", "type=container", "--filter", "event=create", *mine).split()
    shown = ("--format", "{{.Actor.Attributes.container}} {{.Actor.Attributes.name}}")
    connected = docker(*span, "--filter", "type=network", "--filter", "event=connect", *shown).splitlines()
    names = {name for container, _, name in (line.partition(" ") for line in connected) if container in containers}
    if len(names) != 1:
        raise RuntimeError(f"the container was connected to {sorted(names)}, and not to one network")
    return names.pop()

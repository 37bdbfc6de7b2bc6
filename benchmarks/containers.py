"""Docker parts of the benchmarks: images that they may remove, and the network of a container."""

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
    """Return the output of a `docker` command. If it fails, raise RuntimeError with its message."""
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"docker {words[0]}: {ended.stderr}")
    return ended.stdout


def base_image() -> str:
    """Return the image with Python named by FABRIC_JOBS_TEST_BASE_IMAGE, as in the tests."""
    found = os.environ.get("FABRIC_JOBS_TEST_BASE_IMAGE")
    if not found:
        raise SystemExit("Name an image that has a Python 3.11 or newer in FABRIC_JOBS_TEST_BASE_IMAGE.")
    return found


def new_name() -> str:
    """Return a unique name for an image."""
    return f"fabric-jobs-benchmark:{uuid.uuid4().hex}"


@contextmanager
def tagged() -> Iterator[str]:
    """Yield a unique additional name of the base image."""
    image = new_name()
    docker("tag", base_image(), image)
    try:
        yield image
    finally:
        docker("image", "rm", "--force", image)


@contextmanager
def built(image: str, context: Path) -> Iterator[None]:
    """Keep an image of that name, with `context` in /app, during the block."""
    (context / "Dockerfile").write_text(DOCKERFILE)
    docker("build", "--quiet", "--build-arg", f"BASE_IMAGE={base_image()}", "--tag", image, str(context))
    try:
        yield
    finally:
        docker("image", "rm", "--force", image)


def check_in_container(record: Mapping[str, Any]) -> None:
    """Raise RuntimeError unless an activation ran in containers and succeeded."""
    if (record["status"], record.get("executor")) != ("COMPLETE", "docker"):
        raise RuntimeError(f"it did not end well, or did not run in a container: {record}")


def network_of(image: str, since: float, until: float) -> str:
    """Return the network of an image's container that ran between two times in seconds."""
    span = ("events", "--since", f"{since:.9f}", "--until", f"{until:.9f}")
    mine = ("--filter", f"image={image}", "--format", "{{.Actor.ID}}")
    containers = docker(*span, "--filter", "type=container", "--filter", "event=create", *mine).split()
    shown = ("--format", "{{.Actor.Attributes.container}} {{.Actor.Attributes.name}}")
    connected = docker(*span, "--filter", "type=network", "--filter", "event=connect", *shown).splitlines()
    names = {name for container, _, name in (line.partition(" ") for line in connected) if container in containers}
    if len(names) != 1:
        raise RuntimeError(f"the container was connected to {sorted(names)}, and not to one network")
    return names.pop()

"""Finds a Docker engine, base images and a registry for the tests that need them, or the reason to skip those.

The engine is that of DOCKER_HOST, or the default one. FABRIC_JOBS_TEST_BASE_IMAGE names an image with Python 3.11 or newer,
FABRIC_JOBS_TEST_SCUTTLE_IMAGE one with /scuttle. FABRIC_JOBS_TEST_REGISTRY names a registry with passwords. Its user is in
FABRIC_JOBS_TEST_REGISTRY_USER, the file of its password in FABRIC_JOBS_TEST_REGISTRY_PASSWORD_FILE.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

BASE_IMAGE = os.environ.get("FABRIC_JOBS_TEST_BASE_IMAGE", "localhost:5000/python-base:dev")
SCUTTLE_IMAGE = os.environ.get("FABRIC_JOBS_TEST_SCUTTLE_IMAGE", "localhost:5000/scuttle:latest")
REGISTRY = os.environ.get("FABRIC_JOBS_TEST_REGISTRY", "")
REGISTRY_USER = os.environ.get("FABRIC_JOBS_TEST_REGISTRY_USER", "")
TRIES = 20
BUILD_ARGS = ("--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--build-arg", f"SCUTTLE_IMAGE={SCUTTLE_IMAGE}")


def docker(*words: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the `docker` command."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=check, **options)  # type: ignore[call-overload, no-any-return]


@cache
def missing_engine() -> str:
    """Return why no engine can be used; empty if one can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    said = docker("version", "--format", "{{.Server.Version}}", check=False)
    if said.returncode:
        return f"no Docker engine answers: {said.stderr.strip()}"
    if docker("image", "inspect", BASE_IMAGE, check=False).returncode:
        return f"the engine has no image {BASE_IMAGE}, which FABRIC_JOBS_TEST_BASE_IMAGE names"
    return ""


def missing_registry() -> str:
    """Return why no registry can be used; empty if one can."""
    return missing_engine() or ("" if REGISTRY else "FABRIC_JOBS_TEST_REGISTRY names no registry")


def registry_password() -> str:
    """Return the password of REGISTRY_USER."""
    return Path(os.environ["FABRIC_JOBS_TEST_REGISTRY_PASSWORD_FILE"]).read_text().strip()


def remove_images(mark: str) -> None:
    """Remove image names that contain `mark` from the engine. Images with other names stay."""
    if missing_engine():
        return
    left = image_names(mark)
    if left:
        docker("image", "rm", *left, check=False)


def image_names(mark: str) -> list[str]:
    """Return image names that contain `mark`: with their tag, or with their digest if no tag is left."""
    words = ("image", "ls", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    said = docker(*words, check=False)
    for _ in range(TRIES):
        if said.returncode == 0:
            break
        said = docker(*words, check=False)  # fails if somebody removes an image meanwhile
    rows = [line.split() for line in said.stdout.splitlines() if mark in line]
    return sorted({f"{name}:{tag}" if tag != "<none>" else f"{name}@{digest}" for name, tag, digest in rows})


needs_docker = [pytest.mark.docker, pytest.mark.skipif(bool(missing_engine()), reason=missing_engine())]
needs_registry = [pytest.mark.docker, pytest.mark.skipif(bool(missing_registry()), reason=missing_registry())]

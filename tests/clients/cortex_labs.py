"""Makes the Python client of Cortex Labs as its users have it, unmodified from the registry, in an environment of its own."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from tests.archives import unpack
from tests.clients.places import made, ran, root

NEWEST = "0.42.1"
WITH_CLASSES = "0.35.0"  # the last one that deploys a class as an object
# What it imports. Its own installation would download a program from a server that is gone; CORTEX_CLI_PATH names another one.
NEEDS = ("dill>=0.3.1", "pyyaml", "requests", "sentry-sdk<2", "setuptools<81")


@cache
def missing(version: str = NEWEST) -> str:
    """Make the client, if it is not there; return why it cannot be had, or nothing."""
    place = _place(version)
    pip = place / "bin" / "pip"

    def make() -> str:
        return (
            ran([sys.executable, "-m", "venv", place], {})
            or ran([pip, "install", "--quiet", *NEEDS], {})
            or ran(
                [pip, "download", "--quiet", "--no-deps", "--no-binary=:all:", "-d", place, f"cortex=={version}"], {}
            )
            or _unpacked(place)
        )

    return made(place, make)


def python(version: str = NEWEST) -> Path:
    """Return the interpreter that has it, made or not."""
    return _place(version) / "bin" / "python"


def _unpacked(place: Path) -> str:
    """Put the package beside the other packages of its environment."""
    (archive,) = place.glob("cortex-*.tar.gz")
    (packages,) = place.glob("lib/python*/site-packages")
    unpack(archive, packages, "--strip-components=1", f"{archive.name.removesuffix('.tar.gz')}/cortex")
    return "" if (packages / "cortex" / "client.py").is_file() else f"{archive.name} has no package 'cortex'"


def _place(version: str) -> Path:
    return root() / f"cortex-{version}-py{sys.version_info[0]}.{sys.version_info[1]}"

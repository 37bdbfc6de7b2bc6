"""Unpacks archives as a user does. What `tarfile` wants for that differs between the Pythons."""

from __future__ import annotations

import subprocess
from pathlib import Path


def unpack(archive: Path, directory: Path, *more: str) -> None:
    """Unpack a compressed archive into a directory; `more` are words of `tar`."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", archive, "-C", directory, "--no-same-owner", *more], check=True)

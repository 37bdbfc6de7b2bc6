"""Mounts for a container: the runtime layer, the files of the attempt, and the workspace without the state in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from fabric_jobs.docker.images import Image
from fabric_jobs.executors import shell_form
from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.state_dir import STATE_DIRECTORY

WORKSPACE_INSIDE = "/run/fabric-jobs/workspace"  # where the image has something itself at the workspace's path
PATH_IN_TEXT = re.compile(r"(?<![\w.~$}/-])/[\w.@%+,/-]*")
LISTS = ("PATH", "PYTHONPATH")  # variables of an image that say where its programs are


def bind(source: Path, target: str, *, read_only: bool = True) -> dict[str, Any]:
    """Return the mount of a directory or a file of this machine."""
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def workspace_mounts(workspace: str, inside: str, state: Path) -> list[dict[str, Any]]:
    """Return the mounts of a workspace, which is at `inside` in the container: tokens and payloads are hidden.

    Those are in the owner's state directory, whatever the paths of both, and in one of the workspace's own.
    """
    if not workspace:
        return []
    below = (
        {STATE_DIRECTORY}
        if (Path(workspace) / STATE_DIRECTORY).is_dir() and not (Path(workspace) / STATE_DIRECTORY).is_symlink()
        else set()
    )
    below |= set(_below(workspace, state))
    if "." in below:  # the workspace is the state itself, and nothing of it is for programs
        return []
    hidden = ({"Type": "tmpfs", "Target": f"{inside}/{path}", "ReadOnly": True} for path in sorted(below))
    return [bind(Path(workspace), inside, read_only=False), *hidden]


def workspace_inside(process: ProcessSpec, image: Image) -> str:
    """Return where the workspace is in a container: by its own path, unless that would hide the program of the image."""
    return WORKSPACE_INSIDE if hides(process, image) else process.workspace


def hides(process: ProcessSpec, image: Image) -> str:
    """Return a path of the image that its program needs and a workspace by its own path would hide; empty when there is none."""
    if not process.workspace:
        return ""
    workspace = os.path.normpath(process.workspace)
    needed = (path for path in _needed(process, image) if PurePosixPath(path).is_relative_to(workspace))
    return next(needed, "")


def _needed(process: ProcessSpec, image: Image) -> Iterator[str]:
    """Yield the paths where an image certainly has something that its program needs."""
    # What a command of skill.yaml names may be of the workspace, or not be there yet: but for the program and its script.
    yield from (path for path in process.command[:2] if path.startswith("/") and not os.path.exists(path))
    words = () if process.command else (*image.entrypoint, *image.command)
    text = shell_form.text_at(words)
    for at, word in enumerate(words):
        found = PATH_IN_TEXT.findall(word) if at == text else [word.rpartition("=")[2]]
        yield from (os.path.normpath(path) for path in found if path.startswith("/"))
    if image.directory not in ("", "/"):
        yield os.path.normpath(image.directory)
    for name in LISTS:
        yield from (path for path in image.environment.get(name, "").split(":") if path.startswith("/"))


def _below(workspace: str, state: Path) -> Iterator[str]:
    """Yield where the state is below the workspace. What counts is which directory it is, not by which path it is named."""
    resolved = state.resolve()
    for above in (resolved, *resolved.parents):
        try:
            is_same = os.path.samefile(above, workspace)
        except OSError:  # one of them is not there, so nothing of it is seen
            is_same = str(above) == os.path.realpath(workspace)
        if is_same:
            yield resolved.relative_to(above).as_posix()

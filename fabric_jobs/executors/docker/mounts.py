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

WORKSPACE_INSIDE = "/run/fabric-jobs/workspace"  # if the image itself has something at the workspace's path
PATH_IN_TEXT = re.compile(r"(?<![\w.~$}/-])/[\w.@%+,/-]*")
LISTS = ("PATH", "PYTHONPATH")  # variables of an image that list directories of programs


def bind(source: Path, target: str, *, read_only: bool = True) -> dict[str, Any]:
    """Return the mount of a directory or a file of this machine."""
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def workspace_mounts(workspace: str, inside: str, state: Path) -> list[dict[str, Any]]:
    """Return the mounts of a workspace at `inside` in the container, with tokens and payloads hidden.

    Those are in the owner's state directory, by whatever path, and perhaps in a state directory of the workspace's own.
    """
    if not workspace:
        return []
    below = (
        {STATE_DIRECTORY}
        if (Path(workspace) / STATE_DIRECTORY).is_dir() and not (Path(workspace) / STATE_DIRECTORY).is_symlink()
        else set()
    )
    below |= set(_below(workspace, state))
    if "." in below:  # the workspace is the state directory itself: mount nothing of it
        return []
    hidden = ({"Type": "tmpfs", "Target": f"{inside}/{path}", "ReadOnly": True} for path in sorted(below))
    return [bind(Path(workspace), inside, read_only=False), *hidden]


def workspace_inside(process: ProcessSpec, image: Image) -> str:
    """Return the path of the workspace in a container: its own, unless that would hide the image's program."""
    return WORKSPACE_INSIDE if hides(process, image) else process.workspace


def hides(process: ProcessSpec, image: Image) -> str:
    """Return a path that the image's program needs, but that a workspace at its own path would hide; empty if there is none."""
    if not process.workspace:
        return ""
    workspace = os.path.normpath(process.workspace)
    needed = (path for path in _needed(process, image) if PurePosixPath(path).is_relative_to(workspace))
    return next(needed, "")


def _needed(process: ProcessSpec, image: Image) -> Iterator[str]:
    """Yield paths of the image that its program certainly needs."""
    # Of a command in skill.yaml only the program and its script count: other words may be in the workspace, or not exist yet.
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
    """Yield where the state is below the workspace. Directories are compared by identity, not by path."""
    resolved = state.resolve()
    for above in (resolved, *resolved.parents):
        try:
            is_same = os.path.samefile(above, workspace)
        except OSError:  # one of them is missing, so there is nothing to hide
            is_same = str(above) == os.path.realpath(workspace)
        if is_same:
            yield resolved.relative_to(above).as_posix()

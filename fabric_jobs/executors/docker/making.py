"""Creates the container of an attempt, and pulls its image if it is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.docker import images
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone, Refused
from fabric_jobs.docker.images import Image
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.attempt_files.specs import Secret, Unreadable, read_spec
from fabric_jobs.executors.attempt_files.texts import say
from fabric_jobs.executors.docker import describe, members, mounts
from fabric_jobs.executors.docker.reach import Reach

PULL_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)  # seconds before each try
LOOK_SECONDS = 0.05  # between two checks whether the container is still wanted
REMARKS = "remarks"  # the file with remarks
MOVED = "the image has its program at {hidden}, so the workspace is at {inside} instead of {path}: see FABRIC_JOBS_WORKSPACE"

COLD = "'warm' has no effect in containers yet: the program starts cold"


class Unwanted(Exception):
    """The container is no longer needed."""


def make(
    name: str, directory: Path, engine: DockerEngine, reach: Reach, is_unwanted: Callable[[], bool], secret: Secret
) -> None:
    """Make the container of the attempt in `directory`, unless one of that name exists.

    Raises InvalidInput if a retry would not help, Unwanted, Forgotten, or ExecutorUnavailable.
    """
    spec = secret.whole(directory)
    process, around = spec.processes[0], reach.around
    image = _image(process.image, directory, engine, is_unwanted)
    if not describe.program(process, image):
        raise InvalidInput(f"the image {process.image} has no program, and the action has no 'command'.")
    beside = members.beside(directory, reach.owner)
    if beside is None or not beside.network:
        reach.prove(process.image)
    remarks = [] if process.warm is None else [COLD]
    hidden = mounts.hides(process, image) if around.shares_files else ""
    if hidden:
        remarks.append(MOVED.format(hidden=hidden, path=process.workspace, inside=mounts.WORKSPACE_INSIDE))
    if remarks:
        whole_file.write(directory / REMARKS, "\n".join(remarks), durable=True)
    if beside is not None:
        spec = replace(spec, name=beside.attempt)
    engine.create(name, describe.container(spec, image, directory / "files", around, beside))


def furnish(name: str, directory: Path, engine: DockerEngine, reach: Reach) -> None:
    """Copy files into a container: what the shared directories begin with, and what the engine cannot mount from here."""
    beside = members.beside(directory, reach.owner)
    if beside is not None and beside.network:
        return
    spec = read_spec(directory)
    files = {file: (directory / "files" / file).read_bytes() for file in spec.files}
    if beside is not None:
        placed = {path: files[file] for path, file in beside.placed.items()}
        engine.put(name, describe.shared_archive(tuple(beside.volumes), placed))
    if not reach.around.shares_files:
        process = spec.processes[0]
        engine.put(name, describe.archive(files, process.directory if process.is_project else None))


def stop_signal(directory: Path, engine: DockerEngine) -> str:
    """Return the signal that asks an attempt's program to end."""
    try:
        return images.look(engine, read_spec(directory).processes[0].image).stop_signal
    except (Gone, Refused, Unreadable):
        return "SIGTERM"


def _image(reference: str, directory: Path, engine: DockerEngine, is_unwanted: Callable[[], bool]) -> Image:
    if not reference:
        raise InvalidInput("the action has no image: add 'image' in skill.yaml, and build it.")
    try:
        return images.look(engine, reference)
    except Gone:
        say(directory, f"pulling {reference}")
    except Refused as error:  # not a valid image name
        raise InvalidInput(f"'{reference}' is not a valid image: {error.message}.") from error
    try:
        _pull(reference, directory, engine, is_unwanted)
        return images.look(engine, reference)
    except (Gone, Refused) as error:
        raise InvalidInput(f"the image {reference} is not on this engine, and cannot be pulled: {error}.") from error


def _pull(reference: str, directory: Path, engine: DockerEngine, is_unwanted: Callable[[], bool]) -> None:
    """Pull an image. Try again a few times if the registry does not answer."""
    reason = ""
    for pause in PULL_PAUSES:
        _wait(pause, is_unwanted)
        try:
            _pull_once(reference, directory, engine, is_unwanted)
            return
        except ExecutorUnavailable as error:
            engine.ping()  # if the engine itself is away, nothing is known yet
            reason = error.message
        say(directory, f"pulling {reference}: the registry refused, retrying")
    raise Refused(reason)


def _pull_once(reference: str, directory: Path, engine: DockerEngine, is_unwanted: Callable[[], bool]) -> None:
    for doing in images.pull(engine, reference):
        if doing:
            say(directory, f"pulling {reference}: {doing}")
        if is_unwanted():
            raise Unwanted


def _wait(seconds: float, is_unwanted: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_unwanted():
            raise Unwanted
        time.sleep(LOOK_SECONDS)

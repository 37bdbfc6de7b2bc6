"""Several containers of one attempt: their directories, and what each one's description says of the others.

    <root>/<name>/spec.json                 marks the attempt as accepted, and says what its containers have in common
                  members/<name>.<n>/       each container's own files, as of an attempt of one container; see `steps`
                  stdout, stderr, merge     the output of all of them; see `merging`
                  exit                      how the attempt ended

The first container has the network, which the others join, and the volumes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fabric_jobs import whole_file
from fabric_jobs.executors.attempt_files import specs
from fabric_jobs.executors.attempt_files.texts import text
from fabric_jobs.executors.base import STREAMS, AttemptSpec

MEMBERS = "members"


class Beside(NamedTuple):
    """What a container has in common with the others of its attempt."""

    attempt: str
    network: str  # the container whose network it joins; empty: it has the network
    volumes: Mapping[str, str]  # path -> name of a volume
    placed: Mapping[str, str]  # path -> name of the attempt's file that is there at the start


def write_specs(directory: Path, spec: AttemptSpec) -> None:
    """Write the specs of the containers, and then that of the attempt. All are durable."""
    members = directory / MEMBERS
    members.mkdir(exist_ok=True)
    for own in parts(spec):
        member = members / own.name
        member.mkdir(exist_ok=True)
        specs.write_spec(member, own)
    for stream in STREAMS:
        (directory / stream).touch()
    common = {"members": len(spec.processes), "shared": spec.shared, "placed": dict(spec.placed)}
    whole_file.write(directory / specs.FILE, json.dumps(common), durable=True)
    whole_file.sync(directory.parent)


def parts(spec: AttemptSpec) -> list[AttemptSpec]:
    """Return the spec of each container, or just the one of an attempt that is one container."""
    if len(spec.processes) == 1:
        return [spec]
    own = [
        replace(spec, name=f"{spec.name}.{number}", processes=(process,))
        for number, process in enumerate(spec.processes)
    ]
    return [own[0], *(replace(each, files={}, records=(), hosts=()) for each in own[1:])]


def of(directory: Path) -> list[Path]:
    """Return the directories of an attempt's containers, the first one first; empty if the attempt is one container."""
    members = directory / MEMBERS
    found = [path for path in members.iterdir() if path.is_dir()] if members.is_dir() else []
    return sorted(found, key=_number)


def attempt_of(directory: Path) -> Path:
    """Return the directory of the attempt that a container belongs to."""
    return directory.parent.parent if directory.parent.name == MEMBERS else directory


def beside(directory: Path, owner: str) -> Beside | None:
    """Return what the container of a directory has in common with others; None if it is alone. Raise specs.Unreadable."""
    attempt = attempt_of(directory)
    if attempt == directory:
        return None
    try:
        common = json.loads((attempt / specs.FILE).read_text(errors="replace"))
        names = volumes(attempt, owner, len(common["shared"]))
        return Beside(
            attempt=attempt.name,
            network="" if _number(directory) == 0 else container_name(owner, f"{attempt.name}.0"),
            volumes=dict(zip(common["shared"], names, strict=True)),
            placed=common["placed"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise specs.Unreadable(f"{attempt / specs.FILE}: {error}") from error


def volumes(attempt: Path, owner: str, count: int) -> list[str]:
    """Return the names of the volumes of an attempt."""
    return [f"{container_name(owner, attempt.name)}-{number}" for number in range(count)]


def shared_count(attempt: Path) -> int:
    """Return how many volumes an attempt has; 0 if that is unreadable."""
    try:
        return len(json.loads((attempt / specs.FILE).read_text(errors="replace"))["shared"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def container_name(owner: str, name: str) -> str:
    """Return the name of the container of that name of an owner."""
    return f"fabric-jobs-{owner}-{name}"


def texts(directory: Path, name: str) -> Iterator[str]:
    """Yield the lines of a file for people, of the attempt and of its containers."""
    for place in (directory, *of(directory)):
        yield from text(place / name).splitlines()


def _number(path: Path) -> int:
    return int(path.name.rpartition(".")[2])

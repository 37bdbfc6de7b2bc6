"""Stores the spec of an attempt in a file, so that an accepted attempt outlives the process that accepted it.

One that holds secrets is stored without its message: if its container is not made before that process ends, it is lost.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fabric_jobs import whole_file
from fabric_jobs.executors.base import STREAMS, AttemptSpec, Health, Limits, ProcessSpec

FILE = "spec.json"


class Unreadable(Exception):
    """The file is damaged, by a loss of power or a bad disk."""


def write_spec(directory: Path, spec: AttemptSpec) -> None:
    """Write the spec atomically. Only this user may read it, since it has tokens."""
    for stream in STREAMS:
        (directory / stream).touch()
    files = directory / "files"
    if spec.files:
        files.mkdir(exist_ok=True)
        files.chmod(0o755)  # for the program, whatever its user; the directories above keep others out
    for name, content in spec.files.items():
        (files / name).write_bytes(content)
        (files / name).chmod(0o644)
        whole_file.sync(files / name, files)
    process = asdict(replace(spec.processes[0], shell=None))
    del process["shell"]  # unused in a container, and must not be on disk
    process["directory"] = str(process["directory"] or "")
    process["environment"] = dict(process["environment"])
    if process["is_secret"]:
        process |= {"arguments": (), "environment": {}}
    found = {"name": spec.name, "process": process, "files": list(spec.files), "records": spec.records}
    text = json.dumps({**found, "hosts": spec.hosts})
    whole_file.write(directory / FILE, text, durable=True)
    whole_file.sync(directory.parent)


class Forgotten(Exception):
    """The file has no message, because it would hold secrets, and the process that knew it has ended."""


class Secret:
    """The specs of attempts that hold secrets, in memory, until their containers are made."""

    def __init__(self) -> None:
        self._specs: dict[str, AttemptSpec] = {}

    def keep(self, spec: AttemptSpec) -> None:
        """Keep a spec if it holds secrets."""
        if len(spec.processes) == 1 and spec.processes[0].is_secret:
            self._specs[spec.name] = spec
        elif len(spec.processes) > 1:
            for number, process in enumerate(spec.processes):
                if process.is_secret:
                    name = f"{spec.name}.{number}"
                    self._specs[name] = replace(spec, name=name, processes=(process,))

    def whole(self, directory: Path) -> AttemptSpec:
        """Return the whole spec of an attempt; raise Unreadable or Forgotten."""
        found = self._specs.get(directory.name) or read_spec(directory)
        if found.processes[0].is_secret and directory.name not in self._specs:
            raise Forgotten
        return found

    def forget(self, directory: Path) -> None:
        """Drop a spec."""
        self._specs.pop(directory.name, None)


def read_spec(directory: Path) -> AttemptSpec:
    """Return the spec, with names but not contents of its files. Raise Unreadable."""
    text = (directory / FILE).read_text(errors="replace")
    try:
        return _spec(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{directory / FILE}: {error}") from error


def _spec(found: dict[str, Any]) -> AttemptSpec:
    process = found["process"]
    for key in ("command", "arguments"):
        process[key] = tuple(process[key])
    process["warm"] = None if process.get("warm") is None else tuple(process["warm"])
    health = process.get("health")
    process["health"] = None if health is None else Health(tuple(health[0]), *health[1:])
    process["directory"] = Path(process["directory"]) if process["directory"] else None
    process["limits"] = Limits(**process["limits"])
    return AttemptSpec(
        name=found["name"],
        processes=(ProcessSpec(**process),),
        files=dict.fromkeys(found["files"], b""),
        records=tuple((name, writes) for name, writes in found.get("records", ())),
        hosts=tuple(found.get("hosts", ())),
    )

"""Stores the spec of an attempt in a file, so that an accepted attempt outlives the process that accepted it.

One that holds secrets is stored without its message, and in a cluster without its files: if its container is not made, or has not
fetched them, before that process ends, it is lost.
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


def write_spec(directory: Path, spec: AttemptSpec, *, hides_files: bool = False) -> None:
    """Write the spec atomically. Only this user may read it, since it has tokens.

    With `hides_files`, files of one that holds secrets are not written: only `Secret` has them.
    """
    for stream in STREAMS:
        (directory / stream).touch()
    if not (hides_files and holds_secrets(spec)):
        _write_files(directory / "files", spec)
    found = {
        "name": spec.name,
        "processes": [_stored(process) for process in spec.processes],
        "files": list(spec.files),
        "records": spec.records,
        "hosts": spec.hosts,
        "shared": spec.shared,
        "placed": dict(spec.placed),
        "labels": dict(spec.labels),
        "replicas": spec.replicas,
        "timeout": spec.timeout,
    }
    whole_file.write(directory / FILE, json.dumps(found), durable=True)
    whole_file.sync(directory.parent)


def holds_secrets(spec: AttemptSpec) -> bool:
    """Return whether a spec holds secrets in clear."""
    return any(process.is_secret for process in spec.processes)


def _write_files(files: Path, spec: AttemptSpec) -> None:
    if spec.files:
        files.mkdir(exist_ok=True)
        files.chmod(0o755)  # for the program, whatever its user; the directories above keep others out
    for name, content in spec.files.items():
        (files / name).write_bytes(content)
        (files / name).chmod(0o644)
        whole_file.sync(files / name, files)


def _stored(process: ProcessSpec) -> dict[str, Any]:
    found = asdict(replace(process, shell=None))
    del found["shell"]  # unused in a container, and must not be on disk
    found["directory"] = str(process.directory or "")
    found["environment"] = dict(process.environment)
    if process.is_secret:
        found |= {"arguments": (), "environment": {}}
    return found


class Forgotten(Exception):
    """The file has no message, because it would hold secrets, and the process that knew it has ended."""


class Secret:
    """The specs of attempts that hold secrets, in memory, until their containers are made."""

    def __init__(self) -> None:
        self._specs: dict[str, AttemptSpec] = {}

    def keep(self, spec: AttemptSpec) -> None:
        """Keep a spec if it holds secrets."""
        if holds_secrets(spec):
            self._specs[spec.name] = spec

    def whole(self, directory: Path) -> AttemptSpec:
        """Return the whole spec of an attempt; raise Unreadable or Forgotten."""
        found = self._specs.get(directory.name)
        if found is None:
            found = read_spec(directory)
            if holds_secrets(found):
                raise Forgotten
        return found

    def file(self, attempt: str, name: str) -> bytes | None:
        """Return a file of an attempt, by their names; None if it is not kept. May be called from any thread."""
        spec = self._specs.get(attempt)
        return None if spec is None else spec.files.get(name)

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
    processes = found["processes"] if "processes" in found else [found["process"]]  # one, before version 0.7
    return AttemptSpec(
        name=found["name"],
        processes=tuple(map(_process, processes)),
        files=dict.fromkeys(found["files"], b""),
        records=tuple((name, writes) for name, writes in found.get("records", ())),
        hosts=tuple(found.get("hosts", ())),
        shared=tuple(found.get("shared", ())),
        placed=found.get("placed", {}),
        labels=found.get("labels", {}),
        replicas=found.get("replicas"),
        timeout=found.get("timeout", 0.0),
    )


def _process(found: dict[str, Any]) -> ProcessSpec:
    for key in ("command", "arguments"):
        found[key] = tuple(found[key])
    found["warm"] = None if found.get("warm") is None else tuple(found["warm"])
    health = found.get("health")
    found["health"] = None if health is None else Health(tuple(health[0]), *health[1:])
    found["directory"] = Path(found["directory"]) if found["directory"] else None
    found["limits"] = Limits(**found["limits"])
    for key in ("pod_spec", "k8s_resources"):
        found[key] = tuple(found.get(key, ()))
    return ProcessSpec(**found)

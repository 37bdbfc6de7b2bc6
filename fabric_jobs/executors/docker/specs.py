"""Keeps what was asked for in a file: an attempt that is accepted outlives the process that accepted it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fabric_jobs.executors.base import STREAMS, AttemptSpec, Limits, ProcessSpec

FILE = "spec.json"


def write_spec(directory: Path, spec: AttemptSpec) -> None:
    """Write what was asked for, whole or not at all; only this user may read it, since there are tokens in it."""
    for stream in STREAMS:
        (directory / stream).touch()
    files = directory / "files"
    if spec.files:
        files.mkdir(exist_ok=True)
        files.chmod(0o755)  # whoever the program runs as; nobody else comes as far as here
    for name, content in spec.files.items():
        (files / name).write_bytes(content)
        (files / name).chmod(0o644)
    process = asdict(spec.processes[0])
    process["directory"] = str(process["directory"] or "")
    process["environment"] = dict(process["environment"])
    text = json.dumps({"name": spec.name, "process": process, "files": list(spec.files)})
    partial = directory / f"{FILE}.{os.getpid()}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.rename(directory / FILE)


def read_spec(directory: Path) -> AttemptSpec:
    """Return what was asked for, with the names of its files only."""
    found: dict[str, Any] = json.loads((directory / FILE).read_text())
    process = found["process"]
    for key in ("command", "arguments"):
        process[key] = tuple(process[key])
    process["directory"] = Path(process["directory"]) if process["directory"] else None
    process["limits"] = Limits(**process["limits"])
    return AttemptSpec(
        name=found["name"], processes=(ProcessSpec(**process),), files=dict.fromkeys(found["files"], b"")
    )

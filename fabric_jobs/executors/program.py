"""Finds the program of an action for the local executor (DESIGN section 7)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import dockerfile
from fabric_jobs.executors.base import ProcessSpec

PYTHONS = frozenset({"python", "python3"})
RUNTIME = Path(__file__).parent.parent / "runtime"  # goes on PYTHONPATH


def find(spec: ProcessSpec) -> list[str]:
    """Return the command line of a process: `command`, else the Dockerfile's ENTRYPOINT, else its CMD, and the arguments.

    Raises InvalidInput when there is no program, or it needs packages.
    """
    words = spec.command or _from_dockerfile(spec.directory)
    _refuse_requirements(spec.directory)
    program = [sys.executable, *words[1:]] if words[0] in PYTHONS else list(words)
    return [*program, *spec.arguments]


def _from_dockerfile(directory: Path) -> tuple[str, ...]:
    path = directory / "Dockerfile"
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        raise InvalidInput(
            f"there is no program: the action has no 'command', and there is no {path}.",
            hint="Give the action a 'command' in skill.yaml, or write a Dockerfile with an ENTRYPOINT.",
        ) from None
    words = dockerfile.read(text).program(directory)
    if not words:
        raise InvalidInput(
            f"there is no program: {path} has neither ENTRYPOINT nor CMD.",
            hint='Add a line such as ENTRYPOINT ["python", "/app/main.py"].',
        )
    return words


def _refuse_requirements(directory: Path) -> None:
    path = directory / "requirements.txt"
    if not path.exists():
        return
    wanted = [
        line
        for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text(errors="replace").splitlines())
        if line
    ]
    if wanted:
        raise InvalidInput(
            f"{path} asks for {', '.join(wanted)}, and this version makes no environments: a skill runs in the Python that "
            "fabric-jobs runs in, with the standard library.",
            hint="Empty requirements.txt if the packages are installed there, or give the action a 'command' that names the "
            "Python of an environment of yours and remove the file.",
        )

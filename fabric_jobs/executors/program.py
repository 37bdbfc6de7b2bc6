"""Finds the program of an action for the local executor, and everything it needs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import dockerfile, shell_form
from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.executors.dockerfile import Dockerfile

if TYPE_CHECKING:
    from fabric_jobs.executors.environments import Environment

PYTHONS = frozenset({"python", "python3"})
VERSION = r"\d+(\.\d+)?"
RUNTIME = Path(__file__).parent.parent / "runtime"  # goes on PYTHONPATH


class Program(NamedTuple):
    """What to run, where, and in which environment."""

    words: tuple[str, ...]
    directory: Path
    variables: Mapping[str, str]  # from the Dockerfile, and PATH for the Python; the action's own take precedence
    environment: Environment | None = None  # for its requirements.txt
    remarks: tuple[str, ...] = ()  # what in its Dockerfile has no effect here


def find(spec: ProcessSpec) -> Program:
    """Return the program of a process: `command`, else the Dockerfile's ENTRYPOINT and CMD, followed by the arguments.

    Raises InvalidInput if the program, its interpreter, or a file that requirements.txt refers to is missing.
    """
    directory = spec.directory
    if directory is None:
        raise InvalidInput(
            "the skill was saved without its files, so there is no program to run here.",
            hint="Invoke it from its workspace, or run it from its image with --executor docker.",
        )
    file = dockerfile.read_file(directory / "Dockerfile")
    words = file.local_words(spec.command, directory) if file and spec.command else spec.command
    remarks = tuple(map(str, file.notes)) if file else ()
    if words:
        words = (*words, *spec.arguments)
    else:
        words = _from_dockerfile(file, directory)
        remarks += (shell_form.LOST,) if spec.arguments and shell_form.loses_arguments(words) else ()
        words = shell_form.with_arguments(words, spec.arguments)
    surroundings = given(spec)
    python = interpreter(spec.python or surroundings.get("FABRIC_JOBS_PYTHON", ""), directory, surroundings)
    variables = file.variables(directory) if file else {}
    remarks += tuple(
        f"{name} has no effect here: {why}" for name, why in spec.unsupported.items() if (directory / name).exists()
    )
    environment = _environment(directory / spec.requirements, {**surroundings, **variables, **spec.environment}, python)
    binaries = os.path.dirname(python)
    if environment is not None:
        binaries = str(environment.binaries)
        python = str(environment.binaries / "python")
        variables["VIRTUAL_ENV"] = str(environment.venv)
    ways = [binaries, *variables.get("PATH", "").split(os.pathsep), surroundings.get("PATH", os.defpath)]
    variables["PATH"] = os.pathsep.join(filter(None, ways))
    program = (python, *words[1:]) if words[0] in PYTHONS else words
    return Program(
        words=program,
        directory=file.directory(directory) if file else directory,
        variables=variables,
        environment=environment,
        remarks=remarks,
    )


def given(spec: ProcessSpec) -> Mapping[str, str]:
    """Return the environment that a program starts from: that of the invoking command, else that of this process."""
    return os.environ if spec.shell is None else spec.shell.environment


def interpreter(wanted: str, directory: Path, surroundings: Mapping[str, str] = os.environ) -> str:
    """Return the path of a Python, given a version, a program name, or a path (relative to `directory`).

    If `wanted` is empty, it is the Python of this process. Raises InvalidInput if it is not found.
    """
    if not wanted or (re.fullmatch(VERSION, wanted) and _is_own(wanted)):
        return sys.executable
    name = f"python{wanted}" if re.fullmatch(VERSION, wanted) else wanted
    name = os.path.expanduser(name)
    found = shutil.which(directory / name if "/" in name else name, path=surroundings.get("PATH"))
    if found is None:
        raise InvalidInput(
            f"there is no Python '{wanted}' here: '{name}' is not an executable program.",
            hint="Install it, or choose another one with 'python' in the action of skill.yaml, or with FABRIC_JOBS_PYTHON.",
        )
    return os.path.abspath(found)


def _is_own(version: str) -> bool:
    own = [str(number) for number in sys.version_info[:2]]
    return version.split(".") == own[: version.count(".") + 1]


def _from_dockerfile(file: Dockerfile | None, directory: Path) -> tuple[str, ...]:
    path = directory / "Dockerfile"
    if file is None:
        raise InvalidInput(
            f"there is no program: the action has no 'command', and {path} does not exist.",
            hint="Give the action a 'command' in skill.yaml, or write a Dockerfile with an ENTRYPOINT.",
        )
    words = file.program(directory)
    if not words:
        raise InvalidInput(
            f"there is no program: {path} has neither ENTRYPOINT nor CMD.",
            hint='Add a line such as ENTRYPOINT ["python", "/app/main.py"].',
        )
    return words


def _environment(path: Path, variables: Mapping[str, str], python: str) -> Environment | None:
    if not path.exists():
        return None
    from fabric_jobs.executors.environments import environment_of  # late: most actions have no requirements
    from fabric_jobs.executors.requirements import read

    requirements = read(path, variables)
    return environment_of(python, requirements) if requirements.text else None

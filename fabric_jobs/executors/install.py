"""Builds the environment of an attempt, then becomes the skill's program.

    python -P -m fabric_jobs.executors.install ENVIRONMENT PYTHON REQUIREMENTS SUMMARY ATTEMPT WORD…

It is part of the attempt, so it reacts to a restart of the owner, a cancel or a timeout like any program. The output of pip
goes to `install.log` in the attempt's directory, not to the program's output. If pip fails, its last lines go to stderr.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from fabric_jobs import whole_file
from fabric_jobs.executors import environments
from fabric_jobs.executors.attempt_files.texts import say
from fabric_jobs.executors.environments import Environment
from fabric_jobs.state_dir import MINE, private_opener

LOG = "install.log"
FAILED = "unprepared"  # this file marks that the program was not started
INSTALLING = "installing requirements"
SET_BY_PYTHON = b"LC_CTYPE"  # in the locale C
WAITING = "waiting for another attempt to install the requirements"
LAST_BYTES, LAST_LINES = 8192, 18  # of pip's output, on stderr

PIP = ("install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off")
VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


def command(environment: Environment, attempt: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line that builds an environment and then runs `words`."""
    # -P: the current directory is the action's, and its modules may have the same names as ours.
    program = (sys.executable, "-P", "-m", "fabric_jobs.executors.install")
    given = (environment.directory, environment.python, environment.requirements, environment.summary, attempt)
    return (*program, *map(str, given), *words)


def main() -> NoReturn:
    """Build the environment, unless another attempt has, and become the program."""
    directory, python, requirements, summary, place, *words = sys.argv[1:]
    attempt = Path(place)
    environment = Environment(
        directory=Path(directory), python=python, requirements=Path(requirements), summary=summary
    )
    try:
        held = _prepare(environment, attempt)
    except OSError as error:
        _give_up(attempt, 1, f"the environment cannot be built in {directory}: {error}")
    say(attempt, "")
    os.set_inheritable(held, True)  # keeps the environment while the program runs
    _become(words)


def _become(words: list[str]) -> NoReturn:
    """Replace this process with the program, restoring the signals and variables that this one started with."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them
    environment = dict(os.environb)
    if SET_BY_PYTHON in environment and not _was_given(SET_BY_PYTHON):
        del environment[SET_BY_PYTHON]
    try:
        os.execvpe(words[0], words, environment)
    except OSError as error:
        sys.stderr.write(f"fabric-jobs: {words[0]}: {error.strerror}\n")
        sys.exit(127 if error.errno == errno.ENOENT else 126)


def _was_given(name: bytes) -> bool:
    """Tell whether this process was started with a variable; True if unknown."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return b"\0" + name + b"=" in b"\0" + file.read()
    except OSError:
        return True


def _prepare(environment: Environment, attempt: Path) -> int:
    """Return the descriptor that holds the complete environment. One attempt builds it; others wait."""
    held = environments.lock(environment.directory / "use", fcntl.LOCK_SH, make=True)
    building = environments.lock(environment.directory / "build", fcntl.LOCK_EX | fcntl.LOCK_NB, make=True)
    if building is None:
        say(attempt, WAITING)
        building = environments.lock(environment.directory / "build", fcntl.LOCK_EX, make=True)
    assert held is not None, "who may wait gets the lock"
    assert building is not None, "who may wait gets the lock"
    if not environments.is_complete(environment.directory):
        say(attempt, INSTALLING)
        _build(environment, attempt, building)
    os.utime(environment.directory / "complete")
    os.close(building)
    return held


def _build(environment: Environment, attempt: Path, building: int) -> None:
    directory = environment.directory
    (directory / "complete").unlink(missing_ok=True)
    shutil.rmtree(environment.venv, ignore_errors=True)
    if find_spec("pip") is None:
        _give_up(attempt, 1, f"{sys.executable}, the Python of fabric-jobs, has no pip; install it there")
    _run(
        attempt,
        building,
        "no environment can be made",
        [environment.python, "-I", "-m", "venv", "--without-pip"],
        [str(environment.venv)],
    )
    inner = str(environment.binaries / "python")
    version = subprocess.run([inner, "-I", "-c", VERSION], capture_output=True, text=True, check=False).stdout.strip()
    (directory / "about").write_text(json.dumps({"python": version, "requirements": environment.summary}))
    pip = [sys.executable, "-P", "-m", "pip", "--python", inner]
    _run(attempt, building, "the requirements could not be installed", pip, [*PIP, "-r", str(environment.requirements)])
    whole_file.write(directory / "complete", str(directory), durable=True)


def _run(attempt: Path, building: int, what: str, program: list[str], arguments: list[str]) -> None:
    """Run one step of the build. If it fails, print the end of its output and exit."""
    kept = {
        key: value for key, value in os.environ.items() if key != "PYTHONPATH"
    }  # its packages are not in the environment
    with open(attempt / LOG, "ab", opener=private_opener) as log:
        ended = subprocess.run(
            [*program, *arguments],
            env={**kept, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
            stdout=log,
            stderr=log,
            pass_fds=(building,),  # keeps the lock if only this process is killed
            check=False,
        )
    if ended.returncode:
        code = ended.returncode if ended.returncode > 0 else 128 - ended.returncode
        _give_up(attempt, code, f"{what}; the full output is in {attempt / LOG}")


def _give_up(attempt: Path, code: int, why: str) -> NoReturn:
    (attempt / FAILED).touch(MINE)
    last = b""
    with suppress(FileNotFoundError):
        text = (attempt / LOG).read_bytes()[-LAST_BYTES:].strip()
        last = b"\n".join(text.splitlines()[-LAST_LINES:]) + b"\n"
    sys.stderr.write(f"fabric-jobs: {why}\n")
    sys.stderr.flush()
    os.write(sys.stderr.fileno(), last)
    sys.exit(code)


if __name__ == "__main__":
    main()

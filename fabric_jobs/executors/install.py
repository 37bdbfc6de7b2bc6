"""Builds the environment of an attempt, then becomes the skill's program.

    python -P -m fabric_jobs.executors.install ENVIRONMENT PYTHON REQUIREMENTS SUMMARY ATTEMPT WORD…

It is part of the attempt, so a restart of the owner, a cancel and a timeout mean the same to it as to any program. What pip says
is in the file `install.log` of the attempt's directory, and no part of the program's output; its end is on stderr when it fails.
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
FAILED = "unprepared"  # this file says that the program was not started
INSTALLING = "installing requirements"
SET_BY_PYTHON = b"LC_CTYPE"  # where the locale is C
WAITING = "waiting for another attempt to install the requirements"
LAST_BYTES, LAST_LINES = 8192, 18  # of pip's words, on stderr

PIP = ("install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off")
VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


def command(environment: Environment, attempt: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line that builds an environment and then runs `words`."""
    # -P: the action's directory, which is the current one, may have modules that are called like ours.
    program = (sys.executable, "-P", "-m", "fabric_jobs.executors.install")
    given = (environment.directory, environment.python, environment.requirements, environment.summary, attempt)
    return (*program, *map(str, given), *words)


def main() -> NoReturn:
    """Build the environment unless another attempt has; then become the program."""
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
    os.set_inheritable(held, True)  # while the program runs, its environment cannot be removed
    _become(words)


def _become(words: list[str]) -> NoReturn:
    """Replace this process by the program, with the signals and the variables that this one was given."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # a Python ignores them
    environment = dict(os.environb)
    if SET_BY_PYTHON in environment and not _was_given(SET_BY_PYTHON):
        del environment[SET_BY_PYTHON]
    try:
        os.execvpe(words[0], words, environment)
    except OSError as error:
        sys.stderr.write(f"fabric-jobs: {words[0]}: {error.strerror}\n")
        sys.exit(127 if error.errno == errno.ENOENT else 126)


def _was_given(name: bytes) -> bool:
    """Tell whether this process was started with a variable; where that cannot be told, it was."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return b"\0" + name + b"=" in b"\0" + file.read()
    except OSError:
        return True


def _prepare(environment: Environment, attempt: Path) -> int:
    """Return the descriptor that holds the environment, once it is complete; one attempt builds, the others wait for it."""
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
    """Run a part of the building; end this process with its words when it fails."""
    kept = {
        key: value for key, value in os.environ.items() if key != "PYTHONPATH"
    }  # packages there are not in the environment
    with open(attempt / LOG, "ab", opener=private_opener) as log:
        ended = subprocess.run(
            [*program, *arguments],
            env={**kept, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
            stdout=log,
            stderr=log,
            pass_fds=(building,),  # if this process is killed and that one is not, no other builds at the same time
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

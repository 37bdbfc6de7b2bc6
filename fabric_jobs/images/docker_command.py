"""Finds the `docker` command that builds images, and runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from fabric_jobs.docker.credentials import docker_config, docker_config_file
from fabric_jobs.docker.failures import START
from fabric_jobs.durations import spelled
from fabric_jobs.errors import PlaceUnavailable

COMMAND = "docker"
ANSWER_SECONDS = 30.0  # an engine silent for this long counts as absent
STOP_SECONDS = 5.0  # between asking a command to end, so that it can tell the engine, and killing it
WITH_BUILDKIT = (18, 9)  # first version of the command with BuildKit built in
WITH_BUILDX_ONLY = 23  # first version that leaves BuildKit to the plugin
PLUGIN_DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


class CommandOutput(NamedTuple):
    """The result of a command."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True, kw_only=True)
class Builder:
    """The docker command that builds images, and its kind."""

    words: tuple[str, ...]  # beginning of a build command, such as `docker buildx build --load`
    environment: Mapping[str, str] = field(default_factory=dict)
    is_buildkit: bool = True


USUAL = Builder(words=(COMMAND, "buildx", "build", "--load"))


def commands() -> tuple[str, ...]:
    """Return every docker command on PATH once. The first is the one that a shell would run, by its bare name.

    Raise PlaceUnavailable if there is none.
    """
    found: dict[str, str] = {}
    for directory in os.get_exec_path():
        path = os.path.join(directory or os.curdir, COMMAND)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path if found else COMMAND)
    if found:
        return tuple(found.values())
    raise PlaceUnavailable(
        "there is no docker command on PATH.",
        hint="Install Docker: https://docs.docker.com/get-docker/. Skills run without it with the local executor.",
    )


def builder() -> Builder:
    """Return this machine's builder: buildx, else a command with BuildKit built in, else the old builder.

    No trial build is needed: the plugin is searched where the command searches it, and commands are asked for their version.
    """
    found = commands()
    if has_buildx():
        return USUAL
    for command in found:
        if WITH_BUILDKIT <= version(command) < (WITH_BUILDX_ONLY,):
            return Builder(words=(command, "build"), environment={"DOCKER_BUILDKIT": "1"})
    return Builder(words=(COMMAND, "build"), environment={"DOCKER_BUILDKIT": "0"}, is_buildkit=False)


def builder_beside() -> Callable[[], Builder]:
    """Start searching for the builder, and return a function that waits for it. Commands take a while to report their version."""
    found: list[Builder | PlaceUnavailable] = []

    def look() -> None:
        try:
            found.append(builder())
        except PlaceUnavailable as error:
            found.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()

    def wait() -> Builder:
        thread.join()
        if isinstance(found[0], PlaceUnavailable):
            raise found[0]
        return found[0]

    return wait


def has_buildx() -> bool:
    """Tell whether the command has the plugin `buildx`."""
    own, more = docker_config_file().parent / "cli-plugins", []
    with suppress(OSError, ValueError, AttributeError):  # missing or broken, which the command itself reports
        more = docker_config().get("cliPluginsExtraDirs", [])
    return any(os.access(f"{place}/docker-buildx", os.X_OK) for place in (own, *more, *PLUGIN_DIRECTORIES))


def version(command: str) -> tuple[int, ...]:
    """Return the version of a docker command; empty if unknown."""
    words = run("--version", command=command).output.split()  # Docker version 20.10.24+dfsg1, build 297e128
    number = words[2] if len(words) > 2 else ""
    return tuple(int(part) for part in number.split("+")[0].strip(",").split("-")[0].split(".") if part.isdecimal())


def run(*words: str, command: str = COMMAND, text: str = "", seconds: float | None = ANSWER_SECONDS) -> CommandOutput:
    """Run `docker WORDS…` with `text` as its input, and return its result, whatever its exit code.

    Raise PlaceUnavailable if there is no such command, or it has not ended within `seconds`.
    """
    try:
        ended = subprocess.run(
            [command, *words], input=text.encode(), capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"the Docker engine did not answer 'docker {words[0]}' within {spelled(seconds or 0)}."
        raise PlaceUnavailable(message, hint=START) from None
    except OSError as error:
        raise _cannot_start(command, error) from None
    return CommandOutput(ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace"))


class Process:
    """A docker command whose output, errors included, is read as it arrives. It has no terminal, and gets no Ctrl-C."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] = NO_OVERRIDES) -> None:
        self._rest = b""
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                process_group=0,  # so that we end it together with its plugin
            )
        except OSError as error:
            raise _cannot_start(words[0], error) from None

    def fileno(self) -> int:
        """Return the descriptor to wait for with `select`."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def read(self) -> list[str] | None:
        """Wait for output, and return complete lines; None once the command has ended."""
        block = os.read(self.fileno(), 1 << 16)
        *lines, self._rest = (self._rest + block).split(b"\n")
        if not block and not lines and self._rest:
            lines, self._rest = [self._rest], b""
        elif not block:
            return None
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def __iter__(self) -> Iterator[str]:
        while (lines := self.read()) is not None:
            yield from lines

    def wait(self) -> int:
        """Wait for the command to end, and return its exit code."""
        assert self._process.stdout is not None
        code = self._process.wait()
        self._process.stdout.close()
        return code

    def ask_to_stop(self) -> None:
        """Ask the command to end. It then tells the engine."""
        self._signal(signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask the command to end; if it has not ended after `seconds`, kill it."""
        self.ask_to_stop()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)


def _cannot_start(command: str, error: OSError) -> PlaceUnavailable:
    if isinstance(error, FileNotFoundError):
        commands()  # raises a helpful error if there is none at all
    return PlaceUnavailable(f"the command '{command}' cannot be run: {error.strerror}.", hint="Reinstall Docker.")

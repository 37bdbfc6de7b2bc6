"""Builds images with the docker command, several in parallel."""

from __future__ import annotations

import selectors
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from fabric_jobs.images.build_output import BuildOutput
from fabric_jobs.images.docker_command import Builder, Process
from fabric_jobs.images.ignore import IGNORE_FILES
from fabric_jobs.state_dir import STATE_DIRECTORY
from fabric_jobs.user_files import DOCKERFILE, read_bytes

TICK_SECONDS = 0.1  # between two checks of the running builds


@dataclass(frozen=True, kw_only=True)
class ImageBuild:
    """One image to build."""

    directory: Path  # the build context, with its Dockerfile
    names: tuple[str, ...]  # `repository:tag`
    labels: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()  # NAME=VALUE, or NAME for the value in the environment
    platform: str = ""  # such as linux/arm64; empty: the engine's
    use_cache: bool = True


def build_command(build: ImageBuild, builder: Builder, dockerfile: Path | None = None) -> list[str]:
    """Return the command that builds an image; `dockerfile` is one outside the build context."""
    words = list(builder.words)
    words += ["--progress=plain"] if builder.is_buildkit else []
    words += [] if build.use_cache else ["--no-cache"]
    words += ["--platform", build.platform] if build.platform else []
    for argument in build.arguments:
        words += ["--build-arg", argument]
    for name, value in build.labels.items():
        words += ["--label", f"{name}={value}"]
    for name in build.names:
        words += ["--tag", name]
    words += ["--file", str(dockerfile)] if dockerfile else []
    return [*words, str(build.directory)]


def holds_state(build: ImageBuild) -> bool:
    """Tell whether a build context contains a workspace's state: a skill can be a workspace itself."""
    return (build.directory / STATE_DIRECTORY).is_dir()


def _dockerfile_without_state(build: ImageBuild, place: Path) -> Path:
    """Write a Dockerfile and .dockerignore for BuildKit that keep the state, with its token, out of the build."""
    copied = place / DOCKERFILE
    copied.write_bytes(read_bytes(build.directory / DOCKERFILE))
    ignores = (build.directory / name for name in IGNORE_FILES)
    ignored = next((read_bytes(path) for path in ignores if path.exists()), b"")
    (place / IGNORE_FILES[0]).write_bytes(ignored + f"\n{STATE_DIRECTORY}\n".encode())
    return copied


class Running:
    """A build that was started."""

    def __init__(self, build: ImageBuild, builder: Builder) -> None:
        self.build = build
        self.output = BuildOutput(is_buildkit=builder.is_buildkit)
        self.code: int | None = None  # the exit code, once it has ended
        self._place = TemporaryDirectory(prefix="fabric-jobs-build-") if holds_state(build) else None
        dockerfile = _dockerfile_without_state(build, Path(self._place.name)) if self._place else None
        self.process = Process(build_command(build, builder, dockerfile), builder.environment)
        self._started = time.monotonic()
        self._took: float | None = None

    @property
    def seconds(self) -> float:
        """The duration of the build, so far or in all."""
        return time.monotonic() - self._started if self._took is None else self._took

    def read(self) -> bool:
        """Process the output that is there; return whether the build goes on."""
        lines = self.process.read()
        for line in lines or ():
            self.output.take(line)
        if lines is not None:
            return True
        self.code = self.process.wait()
        if self._place is not None:
            self._place.cleanup()
        self._took = time.monotonic() - self._started
        return False


def build_all(builds: Sequence[ImageBuild], builder: Builder, *, at_once: int) -> Generator[tuple[Running, ...]]:
    """Build all images, `at_once` at a time. Yield those running or just ended, at least once a tick.

    A failed build does not stop the others. If the caller leaves, by Ctrl-C or by closing the generator, running builds stop.
    """
    waiting = list(builds)
    running: list[Running] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(Running(waiting.pop(0), builder))
                    selector.register(running[-1].process, selectors.EVENT_READ, running[-1])
                yield tuple(running)
                for key, _ in selector.select(TICK_SECONDS):
                    if not key.data.read():
                        selector.unregister(key.fileobj)
                ended = [one for one in running if one.code is not None]
                if ended:
                    yield tuple(running)
                    running = [one for one in running if one.code is None]
        finally:
            _stop(one.process for one in running if one.code is None)


def _stop(processes: Iterator[Process]) -> None:
    """Stop all processes: ask all first, then wait for each."""
    asked = list(processes)
    for process in asked:
        process.ask_to_stop()
    for process in asked:
        process.stop()

"""A workspace whose skills run from images: the same commands, with a build before each invocation."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.executors.docker.reach import Reach
from tests.acceptance.live import Live, Ran, Started
from tests.docker_place import BASE_IMAGE, SCUTTLE_IMAGE, docker

INVOKING = {("skills", "invoke"), ("agents", "invoke"), ("skills", "test"), ("agents", "test")}
# This label marks the images of a test process, to remove them at its end.
LABEL = f"fabric-jobs-tests={os.environ.get('PYTEST_XDIST_WORKER', 'one')}"
DOCKERFILE = f"""\
ARG BASE_IMAGE
FROM ${{BASE_IMAGE}}
RUN pip install --quiet requests
LABEL {LABEL}
ENV HOST=0.0.0.0
WORKDIR /app
ADD . /app
"""


class DockerLive(Live):
    """Skills have a Dockerfile, and run in containers."""

    gateway_inside = "http://1"  # the address of their network
    end = signal.SIGTERM  # after a SIGKILL, the engine would still carry out its last request
    brief_seconds = 8.0  # a container takes a third of a second, and many times that beside others

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.environment["FABRIC_JOBS_EXECUTOR"] = "docker"
        self.environment["FABRIC_JOBS_BUILD_ARGS"] = f"BASE_IMAGE={BASE_IMAGE} SCUTTLE_IMAGE={SCUTTLE_IMAGE}"
        self._engine = DockerEngine()
        self._built: set[tuple[Path, int]] = set()

    def skill(self, name: str, program: str, **options: Any) -> None:
        super().skill(name, program, **options)
        self._write_dockerfiles()

    def directory_inside(self, skill: str) -> str:
        return "app"

    def run(self, *words: object, **options: Any) -> Ran:
        self._build(words)
        return super().run(*words, **options)

    def start(self, *words: object, **env: str) -> Started:
        self._build(words)
        return super().start(*words, **env)

    def containers(self, *, all: bool = True) -> list[str]:
        """Return the names of the containers of this workspace's owner."""
        owner = Reach(self._engine, self.state / "attempts", None).owner
        found = self._engine.api.containers(all=all, filters={"label": f"fabric-jobs.owner={owner}"})
        return [each["Names"][0].removeprefix("/") for each in found]

    def close(self) -> None:
        super().close()
        for name in self.containers():
            self._engine.remove(name)
        self._engine.close()

    def _write_dockerfiles(self) -> None:
        for action in (self.root / "skills").glob("**/actions/*"):
            if action.is_dir() and not (action / "Dockerfile").exists():
                (action / "Dockerfile").write_text(DOCKERFILE)

    def _build(self, words: tuple[object, ...]) -> None:
        if tuple(words[:2]) not in INVOKING:
            return
        self._write_dockerfiles()
        files = {(path, path.stat().st_mtime_ns) for path in (self.root / "skills").rglob("*") if path.is_file()}
        if files != self._built:
            self._built = files
            built = super().run("workspaces", "build", "--quiet")
            assert built.code == 0, built


@pytest.fixture(name="live")
def docker_live(tmp_path: Path) -> Iterator[DockerLive]:
    """A workspace whose skills run in containers."""
    made = DockerLive(tmp_path / "workspace")
    yield made
    made.close()


@pytest.fixture(scope="session", autouse=True)
def images() -> Iterator[None]:
    """Delete the images of this test process at its end."""
    yield
    found = docker("image", "ls", "--quiet", "--filter", f"label={LABEL}", check=False).stdout.split()
    if found:
        docker("image", "rm", "--force", *sorted(set(found)), check=False)

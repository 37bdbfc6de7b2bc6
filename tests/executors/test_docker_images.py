"""Missing images are pulled, and their programs run."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.executors.base import NOT_STARTED, AttemptExit, AttemptSpec
from tests.acceptance.live import until
from tests.docker_place import (
    BASE_IMAGE,
    REGISTRY,
    REGISTRY_USER,
    docker,
    missing_registry,
    needs_docker,
    registry_password,
)
from tests.executors.docker_driver import DockerDriver, spec_of
from tests.executors.docker_driver import docker_driver as docker_driver

pytestmark = needs_docker

in_registry = pytest.mark.skipif(bool(missing_registry()), reason=missing_registry())
MESSAGE = '{"a": "$HOME"}'


@pytest.fixture
def namespace() -> Iterator[str]:
    """Yield a prefix for the names of this test's images."""
    name = f"executor-{uuid.uuid4().hex[:8]}"
    yield name
    left = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    ours = [image for image in left if name in image]
    if ours:
        docker("image", "rm", "--force", *ours, check=False)  # the last container may still be ending


def build(name: str, *lines: str) -> str:
    """Build an image from the base image; return its name."""
    text = "\n".join([f"FROM {BASE_IMAGE}", *lines, ""])
    docker("build", "--quiet", "--tag", name, "-", input=text)
    return name


def of_image(image: str, name: str = "attempt-1") -> AttemptSpec:
    """Return the spec of an attempt that runs an image's program with a message."""
    return spec_of(image=image, arguments=(MESSAGE,), name=name)


PRINTS = "import sys; print(len(sys.argv), sys.argv[-1])"


@pytest.mark.parametrize(
    "lines",
    [
        [f"ENTRYPOINT {json.dumps(['python3', '-c', PRINTS, 'x'])}"],
        [f"CMD {json.dumps(['python3', '-c', PRINTS, 'x'])}"],
        [f"CMD python3 -c '{PRINTS}' x"],
        [f"ENTRYPOINT python3 -c '{PRINTS}' x"],
        ["ENTRYPOINT []", f"CMD exec python3 -c '{PRINTS}' x"],
    ],
    ids=["entrypoint", "cmd", "shell cmd", "shell entrypoint", "exec"],
)
def test_the_message_is_the_last_argument_of_the_program(
    driver: DockerDriver, namespace: str, lines: list[str]
) -> None:
    image = build(f"{namespace}:1", *lines)
    assert driver.run(of_image(image)) == (AttemptExit(0), f"3 {MESSAGE}\n".encode(), b"")


def test_a_workspace_at_the_path_of_the_program_does_not_hide_it(
    driver: DockerDriver, namespace: str, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "input").write_text("of the workspace")
    code = "import os; print(open(os.environ['FABRIC_JOBS_WORKSPACE'] + '/input').read())"
    lines = (f"WORKDIR {workspace}", f'RUN echo "{code}" > main.py', 'ENTRYPOINT ["python3", "main.py"]')
    image = build(f"{namespace}:1", *lines)
    variables = {"FABRIC_JOBS_WORKSPACE": str(workspace)}
    spec = spec_of(image=image, workspace=str(workspace), environment=variables)
    assert driver.run(spec) == (AttemptExit(0), b"of the workspace\n", b"")
    (remark,) = driver.executor.note(str(driver.root / spec.name)).remarks
    assert f"the image has its program at {workspace}" in remark
    assert "/run/fabric-jobs/workspace" in remark


def test_a_shell_of_several_commands_gets_the_message_as_docker_run_gives_it(
    driver: DockerDriver, namespace: str
) -> None:
    image = build(f"{namespace}:1", "ENTRYPOINT printf '%s' \"$0\" | cat # all of it")
    assert driver.run(of_image(image)) == (AttemptExit(0), MESSAGE.encode(), b"")


def test_an_image_keeps_its_user_its_directory_and_its_variables(driver: DockerDriver, namespace: str) -> None:
    image = build(f"{namespace}:1", "USER 1234:5678", "WORKDIR /srv", "ENV ONE=1 PYTHONPATH=/mine")
    code = (
        "import os, sys, fabric_skill; print(os.getuid(), os.getgid(), os.getcwd(), os.environ['ONE'], sys.path[-4:])"
    )
    files = {"payload.json": b"{}"}
    reads = "open('/run/fabric-jobs/files/payload.json').read()"
    found, stdout, stderr = driver.run(spec_of("python3", "-c", f"{code}; {reads}", image=image, files=files))
    assert found == AttemptExit(0), stderr
    assert stdout.startswith(b"1234 5678 /srv 1 ")


def test_an_image_without_a_program_says_so_and_the_next_try_runs(driver: DockerDriver, namespace: str) -> None:
    image = build(f"{namespace}:1", "ENTRYPOINT []", "CMD []")
    found, _, stderr = driver.run(of_image(image))
    assert found == AttemptExit(125, NOT_STARTED)
    assert stderr == f"the image {image} has no program, and the action has no 'command'.\n".encode()
    build(image, 'ENTRYPOINT ["echo"]')
    assert driver.run(of_image(image, "attempt-2"))[:2] == (AttemptExit(0), f"{MESSAGE}\n".encode())


@pytest.fixture
def logged_in(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration of a user who is logged in to the registry."""
    place = tmp_path_factory.mktemp("docker-config")
    monkeypatch.setenv("DOCKER_CONFIG", str(place))
    words = ("docker", "login", "--username", REGISTRY_USER, "--password-stdin", REGISTRY)
    subprocess.run(words, input=registry_password(), capture_output=True, text=True, check=True)
    return place


@in_registry
def test_an_image_that_is_not_there_is_pulled(
    driver: DockerDriver, namespace: str, logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build(f"{REGISTRY}/{namespace}/skill:1", 'ENTRYPOINT ["echo"]', f"LABEL only={namespace}")
    docker("push", image)
    digest = json.loads(docker("image", "inspect", image, "--format", "{{json .RepoDigests}}").stdout)[0]
    docker("image", "rm", image)
    notes = _notes(monkeypatch)
    assert driver.run(of_image(digest))[:2] == (AttemptExit(0), f"{MESSAGE}\n".encode())
    assert notes[0] == f"pulling {digest}"
    assert notes[-1] == ""
    until(lambda: not driver.containers(), "nothing uses it")
    docker("image", "rm", digest)
    assert driver.run(of_image(image, "attempt-2"))[0] == AttemptExit(0)


@in_registry
def test_an_image_that_only_others_may_pull_is_told_in_the_words_of_the_registry(
    driver: DockerDriver, namespace: str, logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build(f"{REGISTRY}/{namespace}/skill:1", 'ENTRYPOINT ["echo"]')
    docker("push", image)
    docker("image", "rm", image)
    config = logged_in / "config.json"
    known = config.read_text()
    config.write_text("{}")
    found, _, stderr = driver.run(of_image(image))
    assert found == AttemptExit(125, NOT_STARTED)
    assert b"no basic auth credentials" in stderr
    config.write_text(known)
    driver.again()
    assert driver.run(of_image(image, "attempt-2"))[0] == AttemptExit(0)


@in_registry
def test_a_tag_that_nobody_has_pushed_is_told(driver: DockerDriver, namespace: str, logged_in: Path) -> None:
    image = f"{REGISTRY}/{namespace}/skill:nobody"
    found, _, stderr = driver.run(of_image(image))
    assert found == AttemptExit(125, NOT_STARTED)
    assert f"the image {image} is not on this engine, and cannot be pulled: manifest" in stderr.decode()


def _notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the notes written during a test."""
    from fabric_jobs.executors.attempt_files.texts import say
    from fabric_jobs.executors.docker import making, steps

    notes: list[str] = []

    def note(directory: Path, doing: str) -> None:
        say(directory, doing)
        notes.append(doing)

    for module in (making, steps):
        monkeypatch.setattr(module, "say", note)
    return notes

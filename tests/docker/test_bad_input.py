"""A missing image and a missing engine: one clear error each, and a second try that works."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.docker.engine import DockerEngine
from tests.acceptance.live import Live, Ran, until
from tests.docker.live import DockerLive
from tests.docker_place import docker, needs_docker

pytestmark = needs_docker


@pytest.fixture
def name(live: DockerLive) -> str:
    """Return the name of a skill with its own image."""
    name = f"bad-{uuid.uuid4().hex[:8]}"
    live.skill(name, f"print('{name}', end='')")
    return name


def unbuilt(live: DockerLive, *words: object, **env: Any) -> Ran:
    """Run a command with some variables, without a build before it."""
    return Live.run(live, *words, **env)


def test_what_was_not_built_says_how(live: DockerLive, name: str) -> None:
    ran = unbuilt(live, "skills", "invoke", name, "--payload", "1")
    assert ran.code == 3, ran
    assert f"the action '{name}' of the skill '{name}' cannot run as a container: its image was not built." in ran.err
    assert f"fabric-jobs workspaces build --skill {name}" in ran.err
    assert live.invoke(name)["response"] == name


def test_what_has_changed_since_says_so(live: DockerLive, name: str) -> None:
    live.invoke(name)
    live.skill(name, "print('changed', end='')")
    ran = unbuilt(live, "skills", "invoke", name, "--payload", "1")
    assert ran.code == 3, ran
    assert "its files have changed since its image was built" in ran.err
    assert live.invoke(name)["response"] == "changed"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DOCKER_HOST", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1 does not answer: Connection refused"),
        ("DOCKER_HOST", "unix:///nowhere/docker.sock", "docker.sock does not answer: No such file"),
        ("DOCKER_CONTEXT", "no-such-context", "no-such-context"),
    ],
    ids=["port", "socket", "context"],
)
def test_an_engine_that_is_not_there_is_told_at_once(
    live: DockerLive, name: str, variable: str, value: str, said: str
) -> None:
    named = {"DOCKER_HOST": "", "DOCKER_CONTEXT": "", variable: value}
    ran = unbuilt(live, "skills", "invoke", name, "--payload", "1", **named)
    assert ran.code == 5, ran
    assert said in ran.err
    live.stop_owner()  # so that the next one gets the new variables
    until(lambda: live.address() is None, "the end of the owner")
    assert live.invoke(name)["response"] == name


def test_an_image_that_was_deleted_meanwhile_fails_in_words(live: DockerLive, name: str) -> None:
    gate = live.gate("gate")
    live.skill("first", "open(ROOT / 'gate').read()\nprint(1)")
    live.agent("line", ("input", "first"), ("first", name), (name, "output"))
    process = live.start("agents", "invoke", "line", "--payload", "1", "--output", "json")
    until(live.containers, "the first one runs")
    docker("image", "rm", *_images(name))
    live.release(gate)
    ran = process.finish()
    assert ran.code == 1, ran
    assert "is not on this engine, and cannot be pulled" in ran.err
    assert live.ok("workspaces", "build", "--quiet").code == 0
    assert live.invoke(name)["response"] == name


def test_a_run_goes_on_when_the_engine_is_back(live: DockerLive, name: str, tmp_path: Path) -> None:
    """The path to the engine is a link, which is missing for a while."""
    link, real = tmp_path / "docker.sock", Path(DockerEngine().url.removeprefix("unix://"))
    link.symlink_to(real)
    live.environment["DOCKER_HOST"] = f"unix://{link}"
    gate = live.gate("gate")
    live.skill("first", "(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()\nprint(1)")
    live.agent("line", ("input", "first"), ("first", name), (name, "output"))
    activation = live.detach("line", kind="agents")
    until((live.root / "began").exists, "the first one runs")
    link.unlink()
    live.release(gate)
    ran = unbuilt(live, "skills", "invoke", name, "--payload", "1")
    assert ran.code == 5, ran
    link.symlink_to(real)
    assert live.wait(activation)["response"] == name
    assert [len(live.attempts(skill)) for skill in ("first", name)] == [1, 1]


def _images(name: str) -> list[str]:
    """Return the names of the images of a skill."""
    found = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"test-{name}").stdout.split()
    assert found
    return found


def test_a_docker_context_names_the_engine(live: DockerLive, name: str, tmp_path: Path) -> None:
    config = {"DOCKER_CONFIG": str(tmp_path / "docker"), "DOCKER_HOST": "", "DOCKER_CONTEXT": ""}
    host = "host=unix:///var/run/docker.sock"
    docker("context", "create", "mine", "--docker", host, env={**os.environ, **config})
    ran = live.ok("skills", "invoke", name, "--payload", "1", **{**config, "DOCKER_CONTEXT": "mine"})
    assert ran.out.strip() == name

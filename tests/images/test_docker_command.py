"""The docker command: which one builds, and what its refusals become. The commands here are scripts that stand on PATH."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.images import docker_command
from fabric_jobs.images.docker_command import Process, builder, builder_beside, commands, refusal, run
from fabric_jobs.images.inspect import familiar, inspect
from tests.docker_place import needs_docker

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put docker commands on PATH, each in a directory of its own; nothing else is there."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(docker_command, "PLUGIN_DIRECTORIES", ())

    def add(directory: str, script: str) -> Path:
        path = tmp_path / directory / "docker"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{path.parent}".strip(":"))
        return path

    return add


def versioned(number: str) -> str:
    return f"echo 'Docker version {number}, build 297e128'"


def plugin(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "docker-buildx").touch(mode=0o755)


# -- which one builds ------------------------------------------------------------------------------


def test_buildx_is_taken_where_it_is_and_nothing_is_run_to_know(fake: Fake, tmp_path: Path) -> None:
    fake("new", "exit 9")
    plugin(tmp_path / "config" / "cli-plugins")
    assert builder().words == ("docker", "buildx", "build", "--load")


def test_buildx_is_found_where_the_configuration_says(fake: Fake, tmp_path: Path) -> None:
    fake("new", "exit 9")
    plugin(tmp_path / "elsewhere")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(f'{{"cliPluginsExtraDirs": ["{tmp_path / "elsewhere"}"]}}')
    assert builder().words[1] == "buildx"


@pytest.mark.parametrize("text", ["", "[]", "{", "null"], ids=repr)
def test_a_broken_configuration_is_for_docker_to_tell(fake: Fake, tmp_path: Path, text: str) -> None:
    fake("new", versioned("28.2.2"))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(text)
    assert not builder().is_buildkit


def test_without_buildx_an_older_command_on_path_builds(fake: Fake) -> None:
    fake("new", versioned("28.2.2"))
    old = fake("old", versioned("20.10.24+dfsg1"))
    assert builder() == docker_command.Builder(words=(str(old), "build"), environment={"DOCKER_BUILDKIT": "1"})


def test_the_first_command_is_called_by_its_name(fake: Fake) -> None:
    fake("only", versioned("19.03.8"))
    assert builder().words == ("docker", "build")


@pytest.mark.parametrize("said", [versioned("28.2.2"), versioned("17.03.0-ce"), "echo podman", "exit 1"], ids=repr)
def test_else_the_old_builder_is_left(fake: Fake, said: str) -> None:
    fake("only", said)
    found = builder()
    assert (found.words, found.environment, found.is_buildkit) == (("docker", "build"), {"DOCKER_BUILDKIT": "0"}, False)


def test_one_command_that_is_reached_twice_counts_once(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake("only", "true")
    (tmp_path / "link").symlink_to(path.parent)
    monkeypatch.setenv("PATH", f"{path.parent}:{tmp_path / 'link'}")
    assert commands() == ("docker",)


def test_no_command_at_all_says_what_to_install(fake: Fake) -> None:
    with pytest.raises(PlaceUnavailable, match="no docker command on PATH") as caught:
        run("version")
    assert "Install Docker" in caught.value.hint
    with pytest.raises(PlaceUnavailable):
        builder_beside()()


def test_what_is_looked_for_beside_is_the_same(fake: Fake) -> None:
    fake("only", versioned("19.03.8"))
    assert builder_beside()() == builder()


# -- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "ERROR: Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?",
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct",
        'error during connect: Get "http://docker.example.com/v1.50/images/x/json": command [ssh …] has exited',
        "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
        "Error response from daemon: client version 1.52 is too new. Maximum supported API version is 1.41",
    ],
    ids=lambda said: said[:30],
)
def test_an_engine_that_cannot_be_used_is_told_with_what_to_do(said: str) -> None:
    error = refusal(f"something\n{said}\n")
    assert error is not None
    assert said.removeprefix("ERROR: ") in error.message
    assert error.hint


def test_other_words_are_no_refusal() -> None:
    assert refusal("permission denied: /app\nno space left on device") is None


def test_a_missing_image_is_left_out_and_another_refusal_is_not(fake: Fake) -> None:
    script = """echo '["sha256:1",["team/x:1","x:2"],{"a":"b"}]'
echo 'Error response from daemon: no such image: y:1: No such image: y:1' >&2
echo 'Error: No such image: z:1' >&2
exit 1"""
    fake("only", script)
    found = inspect(["docker.io/team/x:1", "y:1", "z:1"])
    assert list(found) == ["docker.io/team/x:1"]
    assert found["docker.io/team/x:1"].labels == {"a": "b"}


def test_what_is_unknown_is_said_in_dockers_words(fake: Fake) -> None:
    fake("only", "echo 'context not found' >&2; exit 1")
    with pytest.raises(PlaceUnavailable, match="context not found"):
        inspect(["x:1"])


def test_an_engine_that_never_answers_is_not_waited_for(fake: Fake) -> None:
    fake("only", "exec /bin/sleep 60")
    with pytest.raises(PlaceUnavailable, match="has not answered 'docker version'"):
        run("version", seconds=0.1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker.io/library/python:3", "python:3"),
        ("docker.io/a/b:1", "a/b:1"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
    ],
)
def test_a_name_is_compared_as_the_engine_tells_it(name: str, expected: str) -> None:
    assert familiar(name) == expected


# -- how it is run ---------------------------------------------------------------------------------


def test_lines_are_read_whole_as_they_come(fake: Fake) -> None:
    fake("only", "printf 'one\\r\\ntw'; printf 'o\\n\\nthree' >&2; exit 3")
    process = Process(["docker"])
    assert list(process) == ["one", "two", "", "three"]
    assert process.wait() == 3


def test_input_is_handed_over(fake: Fake) -> None:
    fake("only", 'read line; echo "$1 $line"')
    assert run("login", text="secret\n") == (0, "login secret\n", "")


@pytest.mark.parametrize("script", ["exec /bin/sleep 60", "trap '' TERM; echo ready; while :; do /bin/sleep 0.1; done"])
def test_a_command_is_stopped_also_when_it_does_not_want_to(fake: Fake, script: str) -> None:
    fake("only", script)
    process = Process(["docker"])
    if "ready" in script:
        assert process.read() == ["ready"]
    started = time.monotonic()
    process.stop(0.2)
    assert time.monotonic() - started < 30


@pytest.mark.docker
@pytest.mark.skipif(needs_docker[1].args[0], reason=str(needs_docker[1].kwargs["reason"]))
def test_a_socket_without_rights_is_told_by_the_real_command(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        (tmp_path / "s").chmod(0)
        ended = subprocess.run(
            ["docker", "image", "inspect", "x"],
            env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path / 's'}", "DOCKER_CONFIG": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
            user=65534 if os.geteuid() == 0 else None,  # root has every right
        )
    error = refusal(ended.stderr)
    assert error is not None
    assert "no right" in error.hint

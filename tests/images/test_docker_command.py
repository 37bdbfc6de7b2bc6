"""The docker command: which one builds, and how it runs. Here the commands are scripts on PATH."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.images import docker_command
from fabric_jobs.images.docker_command import Process, builder, builder_beside, commands, run

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Return a function that puts docker commands, each in its own directory, on an otherwise empty PATH."""
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


# -- how it is run ---------------------------------------------------------------------------------


def test_an_engine_that_never_answers_is_not_waited_for(fake: Fake) -> None:
    fake("only", "exec /bin/sleep 60")
    with pytest.raises(PlaceUnavailable, match="did not answer 'docker version'"):
        run("version", seconds=0.1)


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

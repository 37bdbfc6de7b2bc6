"""`workspaces registry …` without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.live import Live

REGISTRY = ("workspaces", "registry")


@pytest.fixture(autouse=True)
def _own_files(live: Live, tmp_path: Path) -> None:
    live.environment["FABRIC_JOBS_CONFIG_DIR"] = str(tmp_path / "config")
    live.environment["DOCKER_CONFIG"] = str(tmp_path / "docker")


def test_registries_are_added_listed_activated_and_removed(live: Live) -> None:
    assert "There are no registries" in live.ok(*REGISTRY, "list").err
    said = live.ok(*REGISTRY, "add", "lab", "--url", "http://localhost:5000/", "--namespace", "flights").err
    assert "and active" in said
    assert "Next: fabric-jobs workspaces build" in said
    said = live.ok(*REGISTRY, "add", "cloud", "--url", "registry.example.org").err
    assert "Next: fabric-jobs workspaces registry activate cloud" in said
    listed = live.ok(*REGISTRY, "list").out.splitlines()
    assert listed[0].split() == ["ACTIVE", "NAME", "URL", "NAMESPACE", "CREDENTIALS"]
    assert listed[2].split() == ["*", "lab", "localhost:5000", "flights", "no"]
    assert "registry.example.org" in live.ok(*REGISTRY, "activate", "cloud").err
    rows = live.ok(*REGISTRY, "list", "--output", "json").value
    assert [(row["name"], row["active"]) for row in rows] == [("cloud", True), ("lab", False)]
    said = live.ok(*REGISTRY, "remove", "cloud").err
    assert "none is active now" in said
    assert "Next: fabric-jobs workspaces registry activate lab" in said
    assert "is removed" in live.ok(*REGISTRY, "remove", "lab").err
    assert not live.state.exists()


def test_the_active_one_names_what_is_built(live: Live) -> None:
    live.ok("workspaces", "generate", "word-count", "--notree")
    assert "--tag word-count:latest" in live.ok("workspaces", "build", "--print").out
    live.ok(*REGISTRY, "add", "lab", "--url", "localhost:5000", "--namespace", "flights")
    live.ok(*REGISTRY, "add", "cloud", "--url", "registry.example.org")
    assert "--tag localhost:5000/flights/word-count:latest" in live.ok("workspaces", "build", "--print").out
    live.ok(*REGISTRY, "activate", "cloud")
    assert "--tag registry.example.org/word-count:latest" in live.ok("workspaces", "build", "--print").out


def test_what_is_wrong_is_told(live: Live) -> None:
    assert "docker would read it as a user of Docker Hub" in live.fails(
        2, *REGISTRY, "add", "lab", "--url", "somewhere"
    )
    assert "must not contain a user" in live.fails(2, *REGISTRY, "add", "lab", "--url", "me:secret@localhost:5000")
    assert "--url" in live.fails(2, *REGISTRY, "add", "lab")
    assert "needs --username" in live.fails(2, *REGISTRY, "add", "lab", "--url", "localhost:5000", "--password-stdin")
    said = live.fails(2, *REGISTRY, "add", "lab", "--url", "localhost:5000", "--username", "me")
    assert "--username needs --password-stdin" in said
    words = (*REGISTRY, "add", "lab", "--url", "localhost:5000", "--username", "me", "--password-stdin")
    assert "the password is empty" in live.fails(2, *words, stdin="\n")
    assert "not valid UTF-8" in live.fails(2, *words, stdin=b"\xff\xfe")
    live.ok(*REGISTRY, "add", "lab", "--url", "localhost:5000")
    assert "Did you mean 'lab'?" in live.fails(3, *REGISTRY, "activate", "lob")
    assert "exists as localhost:5000, not as localhost:6000" in live.fails(
        2, *REGISTRY, "add", "lab", "--url", "localhost:6000"
    )


def test_without_a_docker_command_there_is_no_login(live: Live, tmp_path: Path) -> None:
    words = (*REGISTRY, "add", "lab", "--url", "localhost:5000", "--username", "me", "--password-stdin")
    said = live.fails(5, *words, stdin="secret", PATH=str(tmp_path))
    assert "there is no docker command on PATH" in said
    assert "secret" not in said
    assert live.ok(*REGISTRY, "list", "--output", "json").value == []

"""The choice of an engine, the description of its images, and the meaning of its silence."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone
from fabric_jobs.docker.images import familiar, find, look, tag
from fabric_jobs.errors import ExecutorUnavailable
from tests.engine_stub import EngineStub

WITHOUT_RIGHTS = """
import os, sys
from fabric_jobs.docker.engine import DockerEngine
import docker.api.client, docker.errors, urllib3
if os.geteuid() == 0:
    os.setuid(65534)  # root has every right
try:
    DockerEngine(sys.argv[1]).ping()
except Exception as error:
    print(error)
"""


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[EngineStub]:
    with EngineStub(tmp_path) as made:
        yield made


def test_a_missing_image_is_left_out_and_the_names_are_those_that_were_asked_for(stub: EngineStub) -> None:
    said = {"Id": "sha256:1", "RepoTags": ["team/x:1"], "Config": {"Labels": {"a": "b"}}}
    stub.images["docker.io/team/x:1"] = {**said, "RepoDigests": ["team/x@sha256:2", "other/x@sha256:3"]}
    engine = DockerEngine(stub.url)
    found = find(engine, ["docker.io/team/x:1", "y:1", "docker.io/team/x:1"])
    engine.close()
    assert list(found) == ["docker.io/team/x:1"]
    image = found["docker.io/team/x:1"]
    assert image.labels == {"a": "b"}
    assert image.is_called("docker.io/team/x:1")
    assert image.digests_in("docker.io/team/x") == ("sha256:2",)
    assert len([each for each in stub.asked if each.endswith("/json")]) == 2


def test_an_image_that_is_not_there_cannot_be_named(stub: EngineStub) -> None:
    engine = DockerEngine(stub.url)
    for ask in (lambda: look(engine, "x:1"), lambda: tag(engine, "x:1", "y:1")):
        with pytest.raises(Gone, match="No such image"):
            ask()
    engine.close()


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


def test_a_socket_without_rights_is_told_with_what_to_do(stub: EngineStub) -> None:
    Path(stub.url.removeprefix("unix://")).chmod(0)
    words = [sys.executable, "-c", WITHOUT_RIGHTS, stub.url]
    said = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/"}).stdout
    assert said.startswith(
        f"the Docker engine at {stub.url} does not answer: Permission denied.\nYour user may not use"
    )


@pytest.mark.parametrize("variable", ["DOCKER_CONTEXT", ""], ids=["variable", "docker context use"])
def test_a_context_says_where_the_engine_is_unless_docker_host_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert DockerEngine().url == "unix:///var/run/docker.sock"
    if variable:
        monkeypatch.setenv(variable, "far")
    else:
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    with pytest.raises(ExecutorUnavailable, match="there is no docker context 'far'"):
        _ = DockerEngine().url
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"docker": {"Host": "tcp://far.example:2376", "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": endpoint}))
    assert DockerEngine().url == "tcp://far.example:2376"
    monkeypatch.setenv("DOCKER_HOST", "tcp://near.example:2375")
    assert DockerEngine().url == "tcp://near.example:2375"

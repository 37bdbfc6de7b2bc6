"""The progress of a push, read from the engine's messages, and its result."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.docker import images
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.errors import ExecutorUnavailable, PlaceUnavailable
from fabric_jobs.images.push import Pushing, push
from tests.engine_stub import EngineStub

ONE, TWO = "126c3597b351", "1896fcc014d7"


def of(layer: str, status: str, *sizes: int) -> dict[str, Any]:
    """Return a message of the engine."""
    return {"id": layer, "status": status, "progressDetail": dict(zip(("current", "total"), sizes, strict=False))}


def read(*messages: dict[str, Any]) -> Pushing:
    """Return the progress after some messages."""
    pushing = Pushing(layers={})
    for told in messages:
        pushing = pushing.read(told) or pushing
    return pushing


def test_layers_are_counted_and_their_bytes_added() -> None:
    found = read(
        {"status": "The push refers to repository [localhost:5000/x]"},
        of(ONE, "Preparing"),
        of(TWO, "Waiting"),
        of(ONE, "Pushing", 33_280, 1_000_000),
        of(TWO, "Pushing", 1_500_000, 30_000_000),
    )
    assert (found.done, len(found.layers), found.sent_bytes, found.all_bytes) == (0, 2, 1_533_280, 31_000_000)


def test_a_layer_that_is_there_counts_as_done() -> None:
    found = read(
        of(ONE, "Pushing", 1_002_000, 1_000_000),
        of(ONE, "Pushing", 1_100_000),
        of(ONE, "Pushed"),
        of(TWO, "Layer already exists"),
        of("0123456789ab", "Mounted from flights/other"),
    )
    assert (found.done, found.sent_bytes, found.all_bytes) == (3, 1_000_000, 1_000_000)


def test_a_connection_that_broke_is_noted_until_it_goes_on() -> None:
    broken = read(of(ONE, "Pushing", 3, 10), of(ONE, "Retrying in 5 seconds"))
    assert broken.note == "the connection broke, retrying in 5 seconds"
    assert read(of(ONE, "Retrying in 1 second"), of(ONE, "Pushing", 3, 10)).note == ""


def test_what_is_about_no_layer_is_not_read() -> None:
    assert Pushing(layers={}).read({"status": "The push refers to repository [x]"}) is None
    assert Pushing(layers={}).read({}) is None


REPOSITORY = "localhost:5000/flights/one"
REFERENCE = f"{REPOSITORY}:507d671b5a2f"
OURS, OTHERS = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
SAID = {"progressDetail": {}, "aux": {"Tag": "507d671b5a2f", "Digest": OURS, "Size": 740}}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineStub]:
    """Yield an engine that has the image under one digest."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with EngineStub(tmp_path) as made:
        made.images[REFERENCE] = {"Id": "sha256:1", "RepoTags": [REFERENCE], "RepoDigests": [f"{REPOSITORY}@{OURS}"]}
        yield made


@pytest.fixture
def engine(stub: EngineStub) -> Iterator[DockerEngine]:
    made = DockerEngine(stub.url)
    yield made
    made.close()


def ignored(now: Pushing) -> None:
    pass


@pytest.mark.parametrize(
    "said", ["no basic auth credentials", "unauthorized: authentication required", "dial tcp: connection refused"]
)
def test_a_push_that_failed_is_told_in_the_words_of_the_registry(
    stub: EngineStub, engine: DockerEngine, said: str
) -> None:
    stub.told = [of(ONE, "Preparing"), {"error": said, "errorDetail": {"message": said}}]
    with pytest.raises(PlaceUnavailable, match=f"{REFERENCE} cannot be pushed: {said}") as caught:
        push(engine, REFERENCE, ignored)
    assert "docker login localhost:5000" in caught.value.hint
    assert "nothing was recorded" in caught.value.hint


def test_an_image_that_is_gone_and_an_engine_that_is_away_are_told(stub: EngineStub, engine: DockerEngine) -> None:
    with pytest.raises(PlaceUnavailable, match="the engine no longer has localhost:5000/x:1") as caught:
        push(engine, "localhost:5000/x:1", ignored)
    assert "Build it again" in caught.value.hint
    with pytest.raises(ExecutorUnavailable, match="does not answer"):
        push(DockerEngine("tcp://127.0.0.1:1"), REFERENCE, ignored)


@pytest.mark.parametrize("last", [{}, SAID])
def test_the_digest_is_that_of_the_repository(stub: EngineStub, engine: DockerEngine, last: dict[str, Any]) -> None:
    stub.told = [of(ONE, "Pushed"), last]
    seen: list[Pushing] = []
    assert push(engine, REFERENCE, seen.append) == OURS
    assert seen[-1].done == 1


@pytest.mark.parametrize("known", [[f"{REPOSITORY}@{OTHERS}"], [f"localhost:5000/other@{OURS}"], [], None])
def test_a_digest_that_does_not_belong_to_the_repository_is_an_error(
    stub: EngineStub, engine: DockerEngine, known: list[str] | None
) -> None:
    stub.told = [SAID]
    stub.images[REFERENCE]["RepoDigests"] = known
    with pytest.raises(PlaceUnavailable, match="did not report its digest"):
        push(engine, REFERENCE, ignored)


def test_whoever_watches_is_told_that_time_goes_by(
    stub: EngineStub, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "TICK_SECONDS", 0.01)
    gate = threading.Event()
    stub.gate = gate.wait
    stub.told = [of(ONE, "Preparing"), SAID]
    seen: list[Pushing] = []

    def watch(now: Pushing) -> None:
        seen.append(now)
        if len(seen) > 3:
            gate.set()

    assert push(engine, REFERENCE, watch) == OURS
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, {}),
        ("{", {}),
        ({"auths": {"localhost:5000": {"auth": base64.b64encode(b"dev:secret").decode()}}}, ("dev", "secret")),
        ({"auths": {"elsewhere:5000": {"auth": base64.b64encode(b"dev:secret").decode()}}}, {}),
        ({"credHelpers": {"localhost:5000": "of-the-test"}}, ("helped", "by it")),
        ({"credsStore": "of-the-test"}, ("helped", "by it")),
        ({"credsStore": "not-installed"}, {}),
    ],
    ids=["none", "broken", "stored", "of another", "helper", "store", "no helper"],
)
def test_the_login_is_that_of_docker(
    stub: EngineStub, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Any, expected: Any
) -> None:
    helper = tmp_path / "docker-credential-of-the-test"
    helper.write_text('#!/bin/sh\necho \'{"ServerURL": "localhost:5000", "Username": "helped", "Secret": "by it"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if config is not None:
        (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    list(images.push(engine, REFERENCE))
    sent = json.loads(base64.urlsafe_b64decode(stub.headers["X-Registry-Auth"]))
    found = {key.lower(): value for key, value in sent.items()}
    assert (found and (found["username"], found["password"])) == expected

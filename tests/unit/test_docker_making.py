"""An attempt's image is pulled from a registry that does not always answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from fabric_jobs.docker import images
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone
from fabric_jobs.docker.images import Image
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.attempt_files.specs import Forgotten, Secret, read_spec, write_spec
from fabric_jobs.executors.attempt_files.texts import NOTE
from fabric_jobs.executors.base import AttemptSpec, Health, Limits, ProcessSpec
from fabric_jobs.executors.docker import making
from fabric_jobs.executors.docker.describe import Surroundings
from fabric_jobs.executors.docker.making import PULL_PAUSES, Unwanted, make
from fabric_jobs.executors.docker.reach import Reach

AWAY = ExecutorUnavailable("dial tcp: connection refused.")
IMAGE = Image(entrypoint=(), command=(), environment={}, user="", stop_signal="SIGTERM")


class PullingEngine(DockerEngine):
    """An engine without the image, whose registry does not answer at first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, failures: int, answers: bool = True) -> None:
        super().__init__("tcp://127.0.0.1:1")
        self.pulls = 0
        self._failures = failures
        self._answers = answers
        monkeypatch.setattr(images, "look", self._look)
        monkeypatch.setattr(images, "pull", self._pull)

    def ping(self) -> None:
        if not self._answers:
            raise ExecutorUnavailable("the engine is away.")

    def _look(self, _: DockerEngine, reference: str) -> Image:
        if self.pulls <= self._failures:
            raise Gone(reference)
        return IMAGE

    def _pull(self, _: DockerEngine, reference: str) -> Iterator[str]:
        self.pulls += 1
        if self.pulls <= self._failures:
            raise AWAY
        yield "Downloading"


class FoundReach(Reach):
    """A Reach with fixed answers, without a network."""

    @property
    def around(self) -> Surroundings:
        return Surroundings(
            owner="one",
            network="one",
            uid=0,
            gid=0,
            state=Path("/"),
            door=None,
            shares_files=True,
            reaches_network=True,
        )


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PULL_PAUSES", (0.0,) * len(PULL_PAUSES))


def made(engine: DockerEngine, directory: Path, is_unwanted: Callable[[], bool] = lambda: False) -> None:
    """Make a container. The image has no program, so this ends after the image is found."""
    write_spec(directory, AttemptSpec(name="one", processes=(ProcessSpec(directory=None, image="there/x:1"),)))
    make("one", directory, engine, FoundReach(engine, directory, None), is_unwanted, Secret())


def test_a_registry_that_does_not_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PullingEngine(monkeypatch, failures=2)
    with pytest.raises(InvalidInput, match="there/x:1 has no program"):
        made(engine, tmp_path)
    assert engine.pulls == 3
    assert (tmp_path / NOTE).read_text() == "pulling there/x:1: Downloading"


def test_after_some_tries_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PullingEngine(monkeypatch, failures=100)
    with pytest.raises(InvalidInput, match=r"there/x:1 is not on this engine, and cannot be pulled: dial tcp"):
        made(engine, tmp_path)
    assert engine.pulls == len(PULL_PAUSES)


def test_an_engine_that_goes_away_while_it_pulls_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExecutorUnavailable, match="the engine is away"):
        made(PullingEngine(monkeypatch, failures=100, answers=False), tmp_path)


def test_nobody_waits_for_an_image_that_is_not_wanted_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PULL_PAUSES", (0.0, 60.0))
    engine = PullingEngine(monkeypatch, failures=100)
    with pytest.raises(Unwanted):
        made(engine, tmp_path, is_unwanted=lambda: engine.pulls > 0)


def test_a_spec_is_read_as_it_was_written(tmp_path: Path) -> None:
    process = ProcessSpec(
        directory=tmp_path,
        command=("run",),
        arguments=("message",),
        image="there/x:1",
        python="3.12",
        environment={"A": "1"},
        workspace="/w",
        gateway="host",
        limits=Limits(cpu=1.5, memory=1 << 20, gpu=1),
        warm=("json",),
        requirements="pip.txt",
        unsupported={"conda.txt": "why"},
        is_project=True,
        health=Health(("check", "me"), delay=1, period=2, timeout=3, failures=4),
        port=5000,
        name="api",
        pod_spec=({"path": "/a", "value": 1},),
        k8s_resources=('{"kind": "Secret"}',),
    )
    spec = AttemptSpec(name="one", processes=(process,), files={"payload": b"1"}, records=(("a/b", True), ("c", False)))
    spec = replace(
        spec,
        hosts=("itself.example",),
        shared=("/mnt",),
        placed={"/mnt/a": "payload"},
        labels={"task": "1"},
        timeout=3.5,
        replicas=2,
    )
    bare = ProcessSpec(directory=None)
    same = [field.name for field in fields(ProcessSpec) if getattr(process, field.name) == getattr(bare, field.name)]
    assert same == ["shell", "is_secret"], "a field that this test does not set"
    write_spec(tmp_path, spec)
    assert read_spec(tmp_path) == replace(spec, files={"payload": b""})


def test_a_spec_with_secrets_is_never_written_whole(tmp_path: Path) -> None:
    directory = tmp_path / "one"
    directory.mkdir()
    process = ProcessSpec(
        directory=None, image="x", arguments=("hunter2",), environment={"A": "hunter2"}, is_secret=True
    )
    spec = AttemptSpec(name="one", processes=(process,))
    known = Secret()
    known.keep(spec)
    write_spec(directory, spec)
    assert not any(b"hunter2" in file.read_bytes() for file in directory.iterdir())
    assert read_spec(directory).processes[0].image == "x"
    assert known.whole(directory) is spec
    with pytest.raises(Forgotten):
        Secret().whole(directory)
    known.forget(directory)
    with pytest.raises(Forgotten):
        known.whole(directory)

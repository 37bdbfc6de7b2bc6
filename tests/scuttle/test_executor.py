"""Images of generated skills in the Docker executor, which tells them that there is no mesh; a skill may override that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.executors.base import AttemptExit, AttemptSpec, ProcessSpec
from fabric_jobs.executors.docker import DockerExecutor
from fabric_jobs.executors.docker.reach import NETWORK
from tests.docker_place import docker, needs_docker
from tests.executors.contract import ended
from tests.executors.docker_driver import be_patient
from tests.scuttle.conftest import ImageOf, OpenMesh
from tests.scuttle.images import unique
from tests.scuttle.mesh import JOB, LOOK

pytestmark = needs_docker

MANY = 1 << 20


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerExecutor]:
    """Yield an executor whose attempts have no gateway."""
    be_patient(monkeypatch)
    made = DockerExecutor(tmp_path)
    yield made
    made.close()


def start(executor: DockerExecutor, image: str, payload: object, environment: dict[str, str]) -> str:
    """Start a job; return the handle of its attempt."""
    message = json.dumps({"payload": payload})
    process = ProcessSpec(directory=None, image=image, arguments=(message,), environment=environment)
    return executor.start(AttemptSpec(name=unique(), processes=(process,)))


def test_a_job_starts_at_once_and_its_response_is_its_own(executor: DockerExecutor, image_of: ImageOf) -> None:
    handle = start(executor, image_of("probe"), {"code": 7}, {})
    assert ended(executor, handle) == AttemptExit(7)
    assert executor.logs(handle, "stdout", 0, MANY) == b"what the job prints\n"
    assert executor.logs(handle, "stderr", 0, MANY) == b"what the job logs\n"


def test_a_skill_may_ask_for_the_protocol(executor: DockerExecutor, image_of: ImageOf, open_mesh: OpenMesh) -> None:
    assert executor.inside("any").files  # this creates the network
    gateway = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", NETWORK).stdout.strip()
    mesh = open_mesh("PRE_INITIALIZING", "LIVE", host=gateway)
    environment = {**mesh.variables(), "START_WITHOUT_ENVOY": "false"}
    handle = start(executor, image_of("probe"), {"marker": f"{mesh.address}/job"}, environment)
    assert ended(executor, handle) == AttemptExit(0)
    assert executor.logs(handle, "stdout", 0, MANY) == b"what the job prints\n"
    assert mesh.requests == [LOOK, LOOK, JOB]  # Envoy is not on the container's own host, so nobody ends it

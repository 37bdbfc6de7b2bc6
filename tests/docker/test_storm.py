"""The example of a Batch API, in containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.workspace.example import copy_example
from tests.acceptance import test_storm as example
from tests.docker.live import LABEL, DockerLive
from tests.docker_place import BASE_IMAGE, needs_docker

pytestmark = needs_docker

test_agent = example.test_the_records_of_a_skill_are_the_items_of_a_batch_api
test_job = example.test_a_job_has_a_configuration_of_its_own


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[DockerLive]:
    """A copy of the example, whose skills run in containers."""
    made = DockerLive(copy_example("storm", tmp_path / "storm"))
    for path in made.root.glob("skills/*/actions/*/Dockerfile"):
        path.write_text(f"{path.read_text()}LABEL {LABEL}\n")
    made.environment["FABRIC_JOBS_WORKER_IMAGE"] = BASE_IMAGE
    try:
        yield made
    finally:
        made.close()

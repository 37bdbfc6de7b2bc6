"""The Docker executor: the contract with real containers, and what only an engine can do to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_place import needs_docker
from tests.executors.contract import Contract, Driver
from tests.executors.docker_driver import DockerDriver

pytestmark = needs_docker


class TestDocker(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
        made = DockerDriver(tmp_path, monkeypatch)
        yield made
        made.close()

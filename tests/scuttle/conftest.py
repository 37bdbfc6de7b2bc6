"""Provides images of generated skills, built once, and a stub of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker_place import docker
from tests.scuttle.images import build, generate
from tests.scuttle.mesh import Mesh

ImageOf = Callable[[str], str]
OpenMesh = Callable[..., Mesh]

PROBE = '''\
"""Says that it runs, prints, and ends as it is told."""

import json
import os
import signal
import sys
from urllib.request import Request, urlopen

payload = json.loads(sys.argv[-1])["payload"]
if "caught" in payload:
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(payload["caught"]))
if "marker" in payload:
    urlopen(Request(payload["marker"], method="POST"))
print("what the job prints", flush=True)
print("what the job logs", file=sys.stderr, flush=True)
if payload.get("stays"):
    signal.pause()
if "signal" in payload:
    os.kill(os.getpid(), payload["signal"])
sys.exit(payload.get("code", 0))
'''


@pytest.fixture(scope="session")
def image_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageOf]:
    """Yield a function that returns the image of a template's skill; for `probe`, of a job whose program is PROBE."""
    built: dict[str, str] = {}

    def image(template: str) -> str:
        if template not in built:
            directory: Path = tmp_path_factory.mktemp(template)
            action = generate("job" if template == "probe" else template, directory)
            if template == "probe":
                (action / "main.py").write_text(PROBE)
            built[template] = build(action)
        return built[template]

    yield image
    for name in built.values():
        docker("image", "rm", "--force", name, check=False)


@pytest.fixture
def open_mesh() -> Iterator[OpenMesh]:
    """Yield a function that makes a mesh whose Envoy goes through the given states."""
    opened: list[Mesh] = []

    def mesh(*states: str, host: str = "127.0.0.1") -> Mesh:
        opened.append(Mesh(*states, host=host))
        return opened[-1]

    yield mesh
    for each in opened:
        each.close()

"""A workspace to publish to a real registry."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live, names
from tests.docker_place import REGISTRY, REGISTRY_USER, image_names, registry_password, remove_images


class Shop:
    """A workspace whose images belong to this test alone."""

    def __init__(self, live: Live, place: Path) -> None:
        self.live = live
        self.namespace = f"test-{secrets.token_hex(6)}"
        live.environment["FABRIC_JOBS_CONFIG_DIR"] = str(place / "config")
        live.environment["DOCKER_CONFIG"] = str(place / "docker")
        live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"

    def lock(self) -> Any:
        """The content of the lock file; None if there is no file."""
        path = self.live.root / "fabric-jobs.lock"
        return json.loads(path.read_text()) if path.exists() else None

    def add_registry(self, address: str = REGISTRY, name: str = "lab", *, log_in: bool = True) -> None:
        """Add a registry, with a login."""
        words = ["workspaces", "registry", "add", name, "--url", address, "--namespace", self.namespace]
        words += ["--username", REGISTRY_USER, "--password-stdin"] if log_in else []
        self.live.ok(*words, stdin=registry_password() if log_in else None)

    def skill(self, name: str, *actions: str, noise: int = 0) -> None:
        """Write a skill whose images have a few files, but no program."""
        self.live.skill(name, "print('ran')")
        for action in actions or (name,):
            directory = self.live.root / "skills" / name / "actions" / action
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "Dockerfile").write_text("FROM scratch\nADD . /app\n")
            (directory / "unique").write_text(secrets.token_hex(16))
            if noise:
                (directory / "noise").write_bytes(os.urandom(noise))
        path = self.live.root / "skills" / name / "skill.yaml"
        document = json.loads(path.read_text())
        document["actions"] = [{"name": action, "type": "job"} for action in actions or (name,)]
        path.write_text(json.dumps(document))

    def change(self, name: str) -> None:
        """Change a file of a skill."""
        (self.live.root / "skills" / name / "actions" / name / "unique").write_text(secrets.token_hex(16))

    def build(self, *words: str) -> None:
        """Build the images."""
        self.live.ok("workspaces", "build", "--quiet", *words)

    def publish(self, *words: object, **env: str) -> Any:
        """Publish, and return the command's output."""
        return self.live.ok("workspaces", "publish", "--quiet", "--output", "json", *words, **env).value

    def images(self) -> list[str]:
        """Return the names of this test's images on the engine, without bare digests."""
        return [name for name in image_names(self.namespace) if "@" not in name]

    def pinned(self, skill: str) -> list[str]:
        """Return the images of a skill in the gateway."""
        return names(self.live.get(f"/skills/{skill}")["actions"], "image")

    def version(self, kind: str, name: str) -> int:
        """Return the version in the gateway."""
        return int(self.live.get(f"/{kind}s/{name}")["_version"])


@pytest.fixture(name="shop")
def shop_fixture(live: Live, tmp_path: Path) -> Iterator[Shop]:
    """Yield a workspace whose images are removed after the test."""
    made = Shop(live, tmp_path)
    try:
        yield made
    finally:
        remove_images(made.namespace)

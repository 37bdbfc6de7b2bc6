"""Makes workspaces to publish, and an engine with the images that a test wants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fabric_jobs.images.context import content_hash
from fabric_jobs.images.registries import Registry
from fabric_jobs.workspace.publishing.lock_file import LockedImage

LAB = Registry(name="lab", url="localhost:5000", namespace="flights")
DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class Engine:
    """An engine with some images, and a record of what it was asked."""

    def __init__(self, **images: Sequence[str]) -> None:
        self.images: dict[str, tuple[str, ...]] = {name: tuple(known) for name, known in images.items()}
        self.asked: list[str] = []

    def __call__(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        self.asked += names
        return {name: self.images[name] for name in names if name in self.images}


def skill(root: Path, name: str, *actions: str, **given: Any) -> None:
    """Write a skill whose actions have a Dockerfile each. Without actions it is an external API."""
    for action in actions:
        (root / "skills" / name / "actions" / action).mkdir(parents=True)
        (root / "skills" / name / "actions" / action / "Dockerfile").write_text(f"FROM scratch\n# {name} {action}\n")
    target = {"action": actions[0], "runtime": "cortex/jobs"} if actions else {"runtime": "cortex/external-api"}
    properties = [] if actions else [{"name": "daemon.url", "defaultValue": "http://127.0.0.1:1"}]
    document = {
        "camel": "1.0.0",
        "name": name,
        "inputs": [{"name": "request", "routing": {"all": {**target, "output": "response"}}}],
        "outputs": [{"name": "response"}],
        "properties": properties,
        "actions": [{"name": action, "type": "job", **given} for action in actions],
    }
    path = root / "skills" / name / "skill.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def agent(root: Path, name: str, *skills: str, **given: Any) -> None:
    """Write an agent that chains skills."""
    ends = ["input", *skills, "output"]
    document = {
        "camel": "1.0.0",
        "name": name,
        "skills": [{"skillName": used} for used in skills],
        "mappings": [{"from": one, "to": other} for one, other in pairwise(ends)],
        **given,
    }
    (root / "agents").mkdir(exist_ok=True)
    (root / "agents" / f"{name}.yaml").write_text(json.dumps(document))


def reference(root: Path, name: str, action: str) -> str:
    """Return the image name for an action's present files."""
    image = name if name == action else f"{name}-{action}"
    return f"localhost:5000/flights/{image}:{content_hash(root / 'skills' / name / 'actions' / action)}"


def locked(root: Path, name: str, action: str, digest: str = DIGEST) -> LockedImage:
    """Return the entry that a push of an action's present files would record."""
    image, _, tag = reference(root, name, action).rpartition(":")
    return LockedImage(image=image, tag=tag, digest=digest)

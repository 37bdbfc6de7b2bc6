"""Workspaces whose skills have images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCKERFILE = "FROM scratch\nCOPY . /\n"


def write_skill(root: Path, name: str, *actions: str, dockerfile: str | None = DOCKERFILE, **keys: Any) -> Path:
    """Write a skill with these actions, by default one of its own name; return the first one's directory.

    `keys` go into every action. If `dockerfile` is None, no Dockerfile is written.
    """
    actions = actions or (name,)
    skill = root / "skills" / name
    for action in actions:
        directory = skill / "actions" / action
        directory.mkdir(parents=True)
        (directory / "main.py").write_text(f"print('{name} {action}')\n")
        if dockerfile is not None:
            (directory / "Dockerfile").write_text(dockerfile)
    target = {"action": actions[0], "runtime": "cortex/jobs", "output": "response"}
    document = {
        "camel": "1.0.0",
        "name": name,
        "inputs": [{"name": "request", "routing": {"all": target}}],
        "outputs": [{"name": "response"}],
        "actions": [{"name": action, "type": "job", **keys} for action in actions],
    }
    (skill / "skill.yaml").write_text(json.dumps(document))
    return skill / "actions" / actions[0]

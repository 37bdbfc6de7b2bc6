"""Makes images of generated skills, and their containers. Each has a unique name, and is removed."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.docker_place import BUILD_ARGS, docker

SECONDS = 60
# The Docker executor's options, as far as they may matter to scuttle.
HARDENED = ("--init", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
OUTSIDE_A_MESH = {"START_WITHOUT_ENVOY": "true", "SCUTTLE_LOGGING": "false"}


def generate(template: str, root: Path, name: str = "smmjob") -> Path:
    """Generate a skill with the command; return the directory of its action."""
    command = [sys.executable, "-m", "fabric_jobs", "workspaces", "generate", name, str(root), "--template", template]
    subprocess.run(command, check=True, capture_output=True)
    return root / "skills" / name / "actions" / name


def build(context: Path) -> str:
    """Build an image of a directory; return its name."""
    name = f"fabric-jobs-test-scuttle:{uuid.uuid4().hex}"
    docker("build", "--network", "host", *BUILD_ARGS, "--tag", name, str(context))
    return name


def unique() -> str:
    """Return a name for a container."""
    return f"fabric-jobs-test-scuttle-{uuid.uuid4().hex}"


def run(
    image: str,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a container to its end, within a time limit; return its exit code and its output."""
    name = unique()
    given = [word for key, value in (variables or {}).items() for word in ("--env", f"{key}={value}")]
    command = ["run", "--rm", "--interactive", "--name", name, *HARDENED, *options, *given, image, *arguments]
    try:
        return docker(*command, check=False, timeout=SECONDS, input=stdin)
    finally:
        docker("rm", "--force", name, check=False)

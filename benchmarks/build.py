"""`workspaces build` of one changed skill against the same plain `docker build`: same command, BuildKit, tags and labels."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

from benchmarks.common import arguments, environment, measure, report, workspace
from fabric_jobs.images.building import build_command
from fabric_jobs.images.docker_command import builder
from fabric_jobs.workspace.build import BuildOptions, PlannedBuild, plan
from fabric_jobs.workspace.generate import generate_skill

COMMAND = str(Path(sys.executable).parent / "fabric-jobs")
BASE_IMAGE = os.environ.get("FABRIC_JOBS_TEST_BASE_IMAGE", "localhost:5000/python-base:dev")
SCUTTLE_IMAGE = os.environ.get("FABRIC_JOBS_TEST_SCUTTLE_IMAGE", "localhost:5000/scuttle:latest")
OPTIONS = BuildOptions(arguments=(f"BASE_IMAGE={BASE_IMAGE}", f"SCUTTLE_IMAGE={SCUTTLE_IMAGE}"))
SKILLS = 4
# The skill needs some packages, as most skills do. Our own time does not depend on what docker does.
REQUIREMENTS = ("requests", "pyyaml", "jinja2")


def write_skills(root: Path, prefix: str) -> str:
    """Write some skills; return the name of the one to change."""
    for number in range(SKILLS):
        generate_skill(f"{prefix}-{number}", root, "job")
    first = f"{prefix}-0"
    (root / "skills" / first / "actions" / first / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n")
    return first


def change(root: Path, name: str) -> PlannedBuild:
    """Change a skill's program; return the build that is due."""
    program = root / "skills" / name / "actions" / name / "main.py"
    program.write_text(f"{program.read_text()}# {uuid.uuid4()}\n")
    (target,) = plan(root, name, OPTIONS)
    return target


def took(command: list[str], root: Path, **more: str) -> float:
    """Return the seconds of a whole process."""
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=root,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment(), **more},
    )
    return time.perf_counter() - started


def ours(root: Path, name: str) -> float:
    """Return the seconds of `workspaces build` if one of several skills has changed."""
    change(root, name)
    words = [word for argument in OPTIONS.arguments for word in ("--build-arg", argument)]
    return took([COMMAND, "workspaces", "build", *words], root)


def plain(root: Path, name: str) -> float:
    """Return the seconds of the command that `workspaces build` would run."""
    target, found = change(root, name), builder()
    return took(build_command(target.build, found), root, **found.environment)


def unchanged(root: Path) -> float:
    """Return the seconds of `workspaces build` if nothing has changed."""
    words = [word for argument in OPTIONS.arguments for word in ("--build-arg", argument)]
    return took([COMMAND, "workspaces", "build", *words], root)


def remove(prefix: str) -> None:
    """Remove the images of this benchmark."""
    listed = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={prefix}-*"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    subprocess.run(["docker", "image", "rm", "--force", *names], stdout=subprocess.DEVNULL, check=False)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "")
    prefix = f"benchmark-{uuid.uuid4().hex[:8]}"
    with workspace() as root:
        try:
            first = write_skills(root, prefix)
            unchanged(root)
            plain(root, first)
            ours(root, first)
            idle = min(unchanged(root) for _ in range(wanted.pairs))
            pairs = measure(wanted.pairs, lambda: ours(root, first), lambda: plain(root, first))
        finally:
            remove(prefix)
    own = statistics.median(pair.ours - pair.baseline for pair in pairs)
    more = {"unchanged_seconds": round(idle, 3), "own_seconds": round(own, 3)}
    report("build", "s", pairs, "wanted <= 1.1", as_json=wanted.json, **more)


if __name__ == "__main__":
    main()

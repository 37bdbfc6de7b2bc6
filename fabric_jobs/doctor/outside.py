"""Checks optional tools: git and Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.doctor.finding import NOTE, OK, Finding, Scope
from fabric_jobs.durations import spelled

SECONDS = 5.0


def git(scope: Scope) -> Iterator[Finding]:
    """Check for git, which fetches remote templates."""
    path = shutil.which("git")
    if path is None:
        yield Finding(NOTE, "It is not installed; templates from git repositories need it.")
        return
    yield Finding(OK, path)


def docker(scope: Scope) -> Iterator[Finding]:
    """Check that a Docker Engine answers."""
    if shutil.which("docker") is None:
        has_engine = os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()
        text = "There may be an engine, but there is no docker command." if has_engine else "It is not installed."
        yield Finding(NOTE, f"{text} Jobs run as processes.")
        return
    code, said = _run("docker", "version", "--format", "{{.Server.Version}}")
    if code:
        yield Finding(NOTE, f"The engine does not answer: {said}.")
        return
    yield Finding(OK, f"engine {said}")


def _run(*words: str) -> tuple[int, str]:
    """Return the exit code and the last output line of a command."""
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer in {spelled(SECONDS)}"
    lines = ((done.stdout if not done.returncode else "") or done.stderr).strip().splitlines()
    return done.returncode, lines[-1].rstrip(".") if lines else ""

"""Personal tokens, and the programs and configurations that use them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.live import Live

SECONDS = 60


def token_file(live: Live, name: str, *, role: str = "run", project: str = "local") -> Path:
    """Return the file of a new personal token."""
    path = live.root.parent / f"{name}.json"
    live.ok("tokens", "create", name, "--project", project, "--role", role, "--file", path)
    return path


def run(live: Live, command: list[object], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program outside the product, in a home of its own."""
    home = live.root.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FABRIC_JOBS_", "CORTEX_"))}
    return subprocess.run(
        [str(word) for word in command],
        cwd=live.root.parent,
        env={**kept, "HOME": str(home), "NO_PROXY": "*", "no_proxy": "*", **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def value(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON that a program has printed; it must have ended well."""
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def configured(live: Live, token: Path, project: str = "local") -> Path:
    """Return a directory with the configuration that `cortex configure --file` makes of a token."""
    directory = live.root.parent / "home" / ".cortex"
    directory.mkdir(parents=True, exist_ok=True)
    profile = {**json.loads(token.read_text()), "project": project}
    profiles = {"version": "5", "currentProfile": "default", "profiles": {"default": profile}}
    (directory / "config").write_text(json.dumps(profiles))
    return directory

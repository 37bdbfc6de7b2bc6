"""Whole commands: a one-shot `skills invoke` with no owner running, and `--help`, against what Python needs to import."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import arguments, environment, measure, report, workspace
from fabric_jobs.state_dir import read_address
from fabric_jobs.workspace.generate import generate_skill

COMMAND = str(Path(sys.executable).parent / "fabric-jobs")


def run(command: list[str], root: Path) -> float:
    """Return the milliseconds of a whole process."""
    started = time.perf_counter()
    subprocess.run(
        command, cwd=root, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    return (time.perf_counter() - started) * 1000


def invoke(root: Path) -> float:
    """Return the milliseconds of an invoke in a workspace that has never had an owner."""
    message = "skills/job/invoke/request/message.json"
    took = run([COMMAND, "skills", "invoke", "job", "--params-file", message], root)
    state = root / ".fabric-jobs"
    address = read_address(state)
    if address is not None:
        os.kill(address.pid, signal.SIGTERM)
        while read_address(state) is not None:
            time.sleep(0.01)
        time.sleep(0.1)
    shutil.rmtree(state, ignore_errors=True)
    return took


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", runs=5)
    with workspace() as root:
        generate_skill("job", root, "job")
        invoke(root)
        click = [sys.executable, "-c", "import click"]
        pairs = measure(wanted.pairs * wanted.runs, lambda: run([COMMAND, "--help"], root), lambda: run(click, root))
        report("--help", "ms", pairs, "wanted <= 2", as_json=wanted.json)
        imports = [sys.executable, "-c", "import uvicorn, starlette.applications"]
        pairs = measure(wanted.pairs * wanted.runs, lambda: invoke(root), lambda: run(imports, root))
        report("one-shot invoke", "ms", pairs, "wanted <= 2", as_json=wanted.json)


if __name__ == "__main__":
    main()

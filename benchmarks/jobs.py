"""Shared parts of the benchmarks of jobs: deploy an API, submit, and wait for the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fabric_jobs.runtime.fabric_skill.http import Connection
from fabric_jobs.state_dir import read_address

ENDED = {"succeeded", "completed_with_failures", "enqueue_failed", "worker_error", "worker_oom", "timed_out", "stopped"}
PAUSE_SECONDS = 0.2  # between two looks at a job


def deploy(root: Path, api: dict[str, Any]) -> None:
    """Deploy an API of the project `root` with the command."""
    (root / "cortex.yaml").write_text(json.dumps([api]))  # JSON is YAML
    command = [sys.executable, "-m", "fabric_jobs", "jobs", "deploy", "cortex.yaml"]
    environment = {**os.environ, "FABRIC_JOBS_STATE_DIR": str(root / ".fabric-jobs")}
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)


class Jobs:
    """The jobs of one API, over HTTP as programs submit them."""

    def __init__(self, root: Path, api: str) -> None:
        address = read_address(root / ".fabric-jobs")
        assert address is not None, "its owner runs"
        self._connection = Connection(address.socket, address.token)
        self._path = f"/batch/{api}"

    def submit(self, body: bytes) -> str:
        """Submit a job; return its id."""
        return str(self._ask("POST", self._path, body)["job_id"])

    def status(self, job_id: str) -> dict[str, Any]:
        """Return the status of a job."""
        found: dict[str, Any] = self._ask("GET", f"{self._path}?jobID={job_id}")["job_status"]
        return found

    def wait(self, job_ids: list[str], look: Callable[[list[dict[str, Any]]], None] = lambda found: None) -> None:
        """Wait until all these jobs have succeeded; call `look` with what is known of them from time to time."""
        while True:
            found = [self.status(job_id) for job_id in job_ids]
            look(found)
            states = {each["status"] for each in found}
            if states <= ENDED:
                break
            time.sleep(PAUSE_SECONDS)
        if states != {"succeeded"}:
            raise RuntimeError(f"jobs ended {states}: {json.dumps(found[0])[:1000]}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes = b"") -> Any:
        answer = self._connection.request(method, path, body, headers={"Content-Type": "application/json"}, timeout=120)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body.decode()[:500]}")
        return json.loads(answer.body)

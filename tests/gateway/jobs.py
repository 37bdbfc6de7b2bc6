"""APIs and their jobs for tests of the gateway."""

from __future__ import annotations

import http.client
import json
import textwrap
from pathlib import Path
from typing import Any

from fabric_jobs.runtime.fabric_skill.http import Answer
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.test_users import Caller

LIVE = ("pending", "enqueuing", "running")


class Apis:
    """Deploys APIs to the gateway of a workspace, and calls them as programs that were written for Cortex Labs do."""

    def __init__(self, live: Live, *, token: str | None = None) -> None:
        self.live = live
        self.caller = Caller(live, tcp=True)
        self.near = Caller(live)
        self.token = token

    def deploy(self, name: str, program: str, kind: str = "BatchAPI", **entry: Any) -> None:
        """Deploy an API whose class is in `program`."""
        directory = self.live.root.parent / "projects" / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "main.py").write_text(textwrap.dedent(program))
        code = {"path": "main.py", "config": entry.pop("config", {})}
        form = {"handler": {"type": "python", **code}} if kind == "BatchAPI" else {"definition": code}
        self.save({"name": name, "kind": kind, **form, **entry}, directory)

    def save(self, api: dict[str, Any], source: Path | None = None) -> None:
        """Save an API."""
        headers = {} if source is None else {"x-fabric-source": str(source)}
        body = json.dumps({"name": api["name"], "api": api}).encode()
        answer = self.near.call("POST", f"{PROJECT}/skills", body, **headers)
        assert answer.status == 200, answer

    def ask(self, method: str, path: str, body: object = b"") -> tuple[int, Any]:
        """Return status and JSON of the answer to a call."""
        answer = self.call(method, path, body if isinstance(body, bytes) else json.dumps(body).encode())
        is_json = answer.headers["content-type"].startswith("application/json")
        return answer.status, json.loads(answer.body) if is_json else answer.body.decode()

    def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Return the answer to a call, whole, also if it comes in chunks."""
        token = self.caller.address.token if self.token is None else self.token
        host, port = self.caller.place
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def log(self, job_id: str, query: str = "") -> list[dict[str, Any]]:
        """Return the pieces of the log of a job."""
        answer = self.call("GET", f"{PROJECT}/jobs/{job_id}/logs{query}")
        assert answer.status == 200, answer
        return [json.loads(line) for line in answer.body.decode().splitlines()]

    def said(self, job_id: str) -> str:
        """Return what the workers of a job have printed."""
        return "".join(piece["log"] for piece in self.log(job_id))

    def submit(self, path: str, **body: Any) -> Any:
        """Submit a job that must be taken; return the answer."""
        status, found = self.ask("POST", path, body)
        assert status == 200, found
        return found

    def items(self, path: str, items: list[Any], *, size: int = 1, workers: int = 1, **body: Any) -> str:
        """Submit items; return the id of the job."""
        given = {"items": items, "batch_size": size}
        return str(self.submit(path, workers=workers, item_list=given, **body)["job_id"])

    def show(self, path: str, job_id: str) -> Any:
        """Return the answer to the question for a job's status."""
        status, found = self.ask("GET", f"{path}?jobID={job_id}")
        assert status == 200, found
        return found

    def end(self, path: str, job_id: str) -> Any:
        """Return the answer to the question for a job's status, once it has ended."""

        def ended() -> Any:
            found = self.show(path, job_id)
            return None if found["job_status"]["status"] in LIVE else found

        return until(ended, f"the end of job {job_id}")

    def refused(self, method: str, path: str, body: object = b"", *, status: int = 400) -> tuple[str, str]:
        """Return kind and message of an error."""
        got, found = self.ask(method, path, body)
        assert got == status, found
        return found["kind"], found["message"]

"""Batch and Task APIs as the users of Cortex Labs have them: a project, a deployment, and plain HTTP requests without a token."""

from __future__ import annotations

import json
import textwrap
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.live import Live, Ran, Started, until

LIVE = ("pending", "enqueuing", "running")
SECONDS = 60
# A server as a user may write it, with the standard library only: it notes each request in a file, a line of JSON each.
SERVER = '''
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTES = os.environ["NOTES"]

def note(**values):
    with open(NOTES, "a") as file:
        file.write(json.dumps(values) + "\\n")

def handle(items):
    """Return the status of the answer to a batch."""
    return 200

def complete(body):
    return 200

class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note(path=self.path, body=body, headers={key.lower(): value for key, value in self.headers.items()})
        self.answer(complete(body) if self.path == "/on-job-complete" else handle(body))

    def log_message(self, *words):
        pass

{more}

ThreadingHTTPServer(("", int(os.environ["CORTEX_PORT"])), Server).serve_forever()
'''


class Answered:
    """An answer over HTTP."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text

    @property
    def json(self) -> Any:
        """Its JSON."""
        return json.loads(self.text)


class Apis:
    """A project of API files, and a gateway whose routes are open, as those of Cortex Labs were; else calls have its token."""

    def __init__(self, live: Live, *, is_open: bool = True) -> None:
        self.live = live
        self.project = live.root / "project"
        self.project.mkdir()
        self._is_open = is_open
        live.environment["FABRIC_JOBS_OPEN_APIS"] = str(int(is_open))
        live.environment["FABRIC_JOBS_SOURCE_PATHS"] = str(live.root)
        self._serving: Started | None = None

    def serve(self, *words: str) -> None:
        """Start the gateway."""
        self._serving = self.live.start("serve", *words)
        self._serving.wait_for("Serving")

    def kill_owner(self) -> None:
        """Kill the gateway with -9, and start the next one."""
        assert self._serving is not None
        self._serving.kill()
        self.serve()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the project; the text of a program may be indented."""
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def deploy(self, files: Mapping[str, str] | None = None) -> Ran:
        """Write files, and deploy cortex.yaml."""
        self.write(files or {})
        state = {"FABRIC_JOBS_STATE_DIR": str(self.live.state)}
        return self.live.ok("jobs", "deploy", "cortex.yaml", cwd=self.project, **state)

    def handler(self, name: str, program: str, *, more: str = "") -> None:
        """Deploy a Batch API whose workers run the class Handler of a program."""
        text = f"- name: {name}\n  kind: BatchAPI\n  handler: {{type: python, path: {name}.py{more}}}\n"
        self.deploy({"cortex.yaml": text, f"{name}.py": program})

    def server(self, name: str, program: str = "", *, pod: str = "", probe: str = "") -> Path:
        """Deploy a Batch API whose workers run SERVER with more in it; return the file with its notes."""
        notes = self.live.root / f"{name}.notes"
        (self.project / f"{name}.py").write_text(SERVER.replace("{more}", textwrap.dedent(program)))
        container = {
            "name": "api",
            "image": "python",
            "command": ["python", str(self.project / f"{name}.py")],
            "env": {"NOTES": str(notes), "ROOT": str(self.live.root)},
        }
        if probe:
            container["readiness_probe"] = json.loads(probe)
        entry = {"name": name, "kind": "BatchAPI", "pod": {"containers": [container], **json.loads(pod or "{}")}}
        self.deploy({"cortex.yaml": json.dumps([entry])})
        notes.touch()
        return notes

    def call(self, method: str, path: str, body: Any = None) -> Answered:
        """Send a request; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        address = self.live.published()
        if not self._is_open or path.startswith("/fabric/"):
            headers["Authorization"] = f"Bearer {address.token}"
        request = urllib.request.Request(address.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return Answered(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answered(error.code, error.read().decode())

    def post(self, name: str, **body: Any) -> Any:
        """Submit a job; return the answer."""
        answer = self.call("POST", f"/{name}", body)
        assert answer.status == 200, answer.text
        return answer.json

    def submit(self, name: str, **body: Any) -> str:
        """Submit a job; return its id."""
        return str(self.post(name, **body)["job_id"])

    def items(self, name: str, items: list[Any], size: int = 1, *, workers: int = 1, **body: Any) -> str:
        """Submit a job with its items; return its id."""
        return self.submit(name, workers=workers, item_list={"items": items, "batch_size": size}, **body)

    def status(self, name: str, job_id: str) -> dict[str, Any]:
        """Return the status of a job."""
        found: dict[str, Any] = self.call("GET", f"/{name}?jobID={job_id}").json["job_status"]
        return found

    def ended(self, name: str, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job; return its status."""
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            try:
                seen[:] = [self.status(name, job_id)]
            except (OSError, KeyError, ValueError):
                return False  # between two owners
            return seen[0]["status"] not in LIVE

        until(look, f"the end of {job_id}")
        return seen[0]


def notes_of(path: Path) -> list[Any]:
    """Return what a server has noted; a line that is being written is left out."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def batches_of(path: Path) -> list[Any]:
    """Return the batches that a server was sent."""
    return [note["body"] for note in notes_of(path) if note.get("path") == "/"]


def letters_of(apis: Apis) -> list[tuple[Any, str]]:
    """Return the items of the dead letters, each with its reason."""
    found = apis.live.ok("deadletters", "list", "--limit", 1000, "-o", "json").value
    shown = [apis.live.ok("deadletters", "show", one["id"], "-o", "json").value for one in found]
    return [(one["payload"], one["cause"]) for one in shown]

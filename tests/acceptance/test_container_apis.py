"""Batch and Task APIs whose workers are containers: here as processes, in `tests/docker` as containers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fabric_jobs.runtime.fabric_skill.http import Connection
from tests.acceptance.live import Live, until
from tests.docker_place import BASE_IMAGE

# A server that prints what it is asked, and answers with what `answer(path, items)` returns.
SERVER = """
import http.server, json, os, sys, time, urllib.request
from pathlib import Path
JOB = json.loads(Path(os.environ["CORTEX_JOB_FILE"]).read_text())

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        items = json.loads(self.rfile.read(int(self.headers["content-length"])))
        print(json.dumps([self.path, items, self.headers["X-Cortex-Attempt"]]), flush=True)
        status, text = answer(self.path, items)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass

def serve():
    http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["CORTEX_PORT"])), Handler).serve_forever()

"""
PLAIN = "answer = lambda path, items: (200, '')\nserve()"
TERMINAL = {
    "succeeded",
    "completed_with_failures",
    "worker_error",
    "worker_oom",
    "timed_out",
    "stopped",
    "enqueue_failed",
}


class Apis:
    """The APIs of a workspace, and their jobs."""

    def __init__(self, live: Live) -> None:
        self.live = live
        live.environment["FABRIC_JOBS_WORKER_IMAGE"] = BASE_IMAGE
        live.environment["FABRIC_JOBS_READY_SECONDS"] = "60"

    def deploy(self, name: str, *codes: str, kind: str = "BatchAPI", **pod: Any) -> None:
        """Deploy an API of one container for each code, which is Python."""
        containers = [
            {"name": f"c{number}", "image": BASE_IMAGE, "command": ["python3", "-c", code]}
            for number, code in enumerate(codes)
        ]
        document = [{"name": name, "kind": kind, "pod": {"containers": containers, **pod}}]
        path = self.live.root / f"{name}.yaml"
        path.write_text(json.dumps(document))
        self.live.ok("jobs", "deploy", path)

    def submit(self, name: str, **wanted: Any) -> str:
        """Submit a job and return its id."""
        kind = "tasks" if "item_list" not in wanted else "batch"
        place = self.live.environment.get("FABRIC_JOBS_EXECUTOR", "local")
        answer = self.call("POST", f"/{kind}/{name}?executor={place}", wanted)
        return str(answer["job_id"])

    def run(self, name: str, **wanted: Any) -> dict[str, Any]:
        """Submit a job, and return its status once it has ended."""
        job_id = self.submit(name, **wanted)
        return self.end(name, job_id, "tasks" if "item_list" not in wanted else "batch")

    def end(self, name: str, job_id: str, kind: str = "batch") -> dict[str, Any]:
        """Return the status of a job once it has ended."""

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", f"/{kind}/{name}?jobID={job_id}")
            return found if found["job_status"]["status"] in TERMINAL else None

        return until(ended, f"the end of {job_id}")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the gateway, which must succeed."""
        address = self.live.published()
        connection = Connection(address.socket, address.token)
        answer = connection.request(method, path, json.dumps(body).encode() if body is not None else b"", timeout=30)
        connection.close()
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def printed(self, name: str, stream: str = "stdout") -> str:
        """Return what the workers of an API have printed so far."""
        logs = (path / stream for path in self.live.attempts(name))
        return "".join(log.read_text() for log in logs if log.exists())


@pytest.fixture
def apis(live: Live) -> Apis:
    return Apis(live)


def items(*found: object, size: int = 1) -> dict[str, Any]:
    return {"items": list(found), "batch_size": size}


def test_batches_go_to_the_container_and_the_end_is_told(apis: Apis) -> None:
    apis.deploy("sum", SERVER + "print(json.dumps(JOB), flush=True)\n" + PLAIN)
    found = apis.run("sum", workers=1, item_list=items(1, 2, "three", size=2), config={"mine": 1})
    assert found["job_status"]["status"] == "succeeded", found["job_status"]
    assert found["metrics"]["succeeded"] == 2
    job, *asked = map(json.loads, apis.printed("sum").splitlines())
    assert (job["job_id"], job["config"]) == (found["job_status"]["job_id"], {"mine": 1})
    assert asked[:2] == [["/", [1, 2], "1"], ["/", ["three"], "1"]]
    ((path, told, _),) = asked[2:]
    assert path == "/on-job-complete"
    assert (told["message"], told["succeeded"], told["total"], told["items"]) == ("job_complete", 2, 2, 3)


def test_a_batch_that_fails_is_tried_as_often_as_the_submission_says(apis: Apis) -> None:
    apis.deploy("odd", SERVER + "answer = lambda path, items: (500 if items == [1] else 200, 'odd')\nserve()")
    found = apis.run("odd", workers=1, item_list=items(0, 1, 2))
    assert found["job_status"]["status"] == "completed_with_failures"
    assert (found["metrics"]["succeeded"], found["metrics"]["failed"]) == (2, 1)


def test_a_worker_that_never_gets_ready_fails_the_job_with_the_reason(apis: Apis) -> None:
    apis.live.environment["FABRIC_JOBS_READY_SECONDS"] = "0.5"
    apis.deploy("deaf", "import time; time.sleep(1000)")
    found = apis.run("deaf", workers=1, item_list=items(1))
    assert found["job_status"]["status"] == "worker_error"
    assert "the server is not ready after 0.5 s: connect on port" in found["job_status"]["reason"]
    assert "connection refused" in apis.printed("deaf", "stderr")


def test_a_server_that_ends_again_and_again_fails_the_job(apis: Apis) -> None:
    apis.deploy("brief", SERVER + "answer = lambda path, items: os._exit(0)\nserve()")
    found = apis.run("brief", workers=1, item_list=items(1))
    assert found["job_status"]["status"] == "worker_error"
    assert "exit code 0" in found["job_status"]["reason"]
    assert apis.printed("brief").count('["/", [1]') > 1


def test_a_server_that_ends_once_is_replaced(apis: Apis) -> None:
    code = "answer = lambda path, items: (os._exit(9) if items == [2] and ATTEMPT() == 1 else 200, '')\n"
    count = "def ATTEMPT():\n    return int(SEEN[-1])\nSEEN = []\n"
    remember = SERVER.replace("status, text", 'SEEN.append(self.headers["X-Cortex-Attempt"] or 0); status, text')
    apis.deploy("again", remember + count + code + "serve()")
    found = apis.run("again", workers=1, item_list=items(1, 2, 3))
    assert found["metrics"]["succeeded"] == 3
    assert sorted(json.loads(line)[2] for line in apis.printed("again").splitlines() if "[2]" in line) == ["1", "2"]


def test_containers_of_a_task_share_what_they_have_and_the_first_end_counts(apis: Apis) -> None:
    first = (
        "import json, os, socket\n"
        "listener = socket.create_server(('127.0.0.1', 9321))\n"
        "client, _ = listener.accept()\n"
        "print(client.recv(100).decode(), json.load(open(os.environ['CORTEX_JOB_FILE']))['config'])"
    )
    second = (
        "import socket, time\n"
        "while True:\n"
        "    try:\n"
        "        connection = socket.create_connection(('127.0.0.1', 9321))\n"
        "        break\n"
        "    except ConnectionRefusedError:\n"
        "        time.sleep(0.01)\n"
        "connection.sendall(b'hello')\n"
        "time.sleep(1000)"
    )
    apis.deploy("pair", first, second, kind="TaskAPI")
    found = apis.run("pair", config={"a": 1})
    assert found["job_status"]["status"] == "succeeded", found["job_status"]
    assert apis.printed("pair") == "hello {'a': 1}\n"


def test_a_job_submits_a_job(apis: Apis) -> None:
    apis.deploy("second", SERVER + PLAIN)
    inside = "http://ingressgateway-operator.istio-system.svc.cluster.local"
    code = f"""
def answer(path, items):
    if path == "/":
        url = os.environ["CORTEX_GATEWAY_URL"] if os.path.exists({str(apis.live.root)!r}) else {inside!r}
        body = json.dumps({{"workers": 1, "item_list": {{"items": items, "batch_size": 1}}}}).encode()
        print(urllib.request.urlopen(urllib.request.Request(url + "/batch/second", body), timeout=60).read().decode())
    return 200, ""
serve()
"""
    apis.deploy("first", SERVER + code)
    found = apis.run("first", workers=1, item_list=items("x"))
    assert found["job_status"]["status"] == "succeeded", apis.printed("first", "stderr")
    until(lambda: '["/", ["x"], "1"]' in apis.printed("second"), "the second job has the item")


def test_a_worker_outlives_the_owner(apis: Apis) -> None:
    slow = "def answer(path, items):\n    time.sleep(2 if path == '/' else 0)\n    return 200, ''\nserve()"
    apis.deploy("slow", SERVER + slow)
    job_id = apis.submit("slow", workers=1, item_list=items(1, 2))
    until(lambda: '["/", [1]' in apis.printed("slow"), "a batch is in hand")
    apis.live.kill_owner()
    apis.live.ok("jobs", "list")
    found = apis.end("slow", job_id)
    assert (found["job_status"]["status"], found["metrics"]["succeeded"]) == ("succeeded", 2)
    assert [json.loads(line)[2] for line in apis.printed("slow").splitlines() if '["/", ' in line] == ["1", "1"]
    assert len(apis.live.attempts("slow")) == 1

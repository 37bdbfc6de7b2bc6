"""The worker of containers, as a real process with real servers beside it, against a small real gateway."""

from __future__ import annotations

import json
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from fabric_jobs.runtime.cortex_worker import pod
from fabric_jobs.runtime.cortex_worker.pod import Pod
from tests.acceptance.live import is_alive, until
from tests.small_gateway import SmallGateway, ends

JOB = {"job_id": "7ffffffffffffff0", "api_name": "sum", "kind": "BatchAPI", "workers": 1, "config": None}
# A server that notes what it is asked, and answers with what the function `answer(path, items, headers)` returns.
SERVER = """\
import http.server, json, os, sys, time
from pathlib import Path
ROOT = Path(sys.argv[1])

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        headers = {name: value for name, value in self.headers.items()}
        items = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with open(ROOT / "asked", "a") as file:
            file.write(json.dumps([self.path, items, headers]) + "\\n")
        status, text = answer(self.path, items, headers)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def do_GET(self):
        self.send_response(200 if (ROOT / "ready").exists() else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass

def serve():
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["CORTEX_PORT"])), Handler).serve_forever()

"""
PLAIN = "def answer(path, items, headers):\n    return 200, ''\nserve()\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SmallGateway]:
    made = SmallGateway(tmp_path)
    yield made
    made.close()


class Api:
    """The containers of an API, each a Python program."""

    def __init__(self, gateway: SmallGateway) -> None:
        self.gateway = gateway
        self.root = gateway.directory
        self.place = self.root / "files"
        self.place.mkdir()
        self.containers: list[dict[str, Any]] = []

    def container(self, code: str, name: str = "api", **more: Any) -> None:
        """Add a container."""
        path = self.root / f"{name}.py"
        path.write_text(SERVER + textwrap.dedent(code))
        given = {"name": name, "command": [sys.executable, str(path)], "args": [str(self.root)], "env": {}, **more}
        self.containers.append(given)

    def start(self, kind: str = "BatchAPI", **wanted: Any) -> Popen[str]:
        """Start a worker of the containers."""
        content = {
            "form": "containers",
            "kind": kind,
            "job": {**JOB, "kind": kind},
            "config": {},
            "code": None,
            "containers": self.containers,
            "port": 8080,
            "concurrency": 1,
            "batch_timeout": None,
            "place": "local",
            **wanted,
        }
        (self.place / "worker.json").write_text(json.dumps(content))
        env = {"FABRIC_JOBS_WORKER_FILE": str(self.place / "worker.json")}
        return self.gateway.begin(["-m", "cortex_worker"], cwd=self.root, env=env)

    def asked(self) -> list[Any]:
        """Return what the server was asked: path, items, headers."""
        path = self.root / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def api(gateway: SmallGateway) -> Api:
    return Api(gateway)


# The protocol


def test_batches_are_posted_and_the_end_is_told_once(api: Api) -> None:
    batches = api.gateway.state.batches
    batches.items = [[1, 2], ["three"], [{"four": None}]]
    api.container(PLAIN)
    ends(api.start())
    *posts, last = api.asked()
    assert [post[:2] for post in posts] == [["/", items] for items in batches.items]
    for number, (_, _, headers) in enumerate(posts):
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Cortex-Job-ID"] == JOB["job_id"]
        assert headers["X-Cortex-Batch-ID"] == f"batch-{100 * number}"
        assert headers["X-Cortex-Attempt"] == "1"
    path, body, headers = last
    assert (path, headers["X-Cortex-Job-ID"]) == ("/on-job-complete", JOB["job_id"])
    assert body == {"message": "job_complete", "succeeded": 3, "failed": 0, "dead": 0, "job_id": "0a"}
    assert batches.completed == [{"status": 200, "error": ""}]
    assert api.gateway.state.tokens == {"Bearer a.b.c"}


def test_a_server_of_one_thread_hears_of_the_end_although_it_keeps_connections(api: Api) -> None:
    api.gateway.state.batches.items = [[1], [2]]
    api.container(PLAIN.replace("serve()", "http.server.ThreadingHTTPServer = http.server.HTTPServer\nserve()"))
    ends(api.start())
    assert [path for path, _, _ in api.asked()] == ["/", "/", "/on-job-complete"]


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
def test_any_status_but_200_is_a_failed_attempt(api: Api, status: int) -> None:
    batches = api.gateway.state.batches
    batches.items, batches.receive_count = [[0], [1]], 2
    text = "" if status == 204 else "because"
    api.container(
        f"def answer(path, items, headers):\n    return ({status}, {text!r}) if items == [0] else (200, '')\nserve()"
    )
    ends(api.start())
    assert batches.failed == [(0, f"HTTP {status}{text and ': '}{text}")] * 2
    assert (batches.dead, set(batches.done)) == ({0}, {100})
    assert [headers["X-Cortex-Attempt"] for _, items, headers in api.asked() if items == [0]] == ["1", "2"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, {"status": 200, "error": ""}),
        (404, {"status": 404, "error": ""}),
        (500, {"status": 500, "error": "HTTP 500: oh"}),
    ],
)
def test_what_comes_of_the_last_call_is_told(api: Api, status: int, told: dict[str, Any]) -> None:
    api.container(
        f"def answer(path, items, headers):\n    return ({status}, 'oh') if path != '/' else (200, '')\nserve()"
    )
    ends(api.start())
    assert api.gateway.state.batches.completed == [told]


def test_a_broken_connection_of_a_server_that_goes_on_is_a_failure(api: Api) -> None:
    batches = api.gateway.state.batches
    batches.items = [[0], [1]]
    code = "def answer(path, items, headers):\n    return 1 // items[0] if path == '/' and not items[0] else 200, ''\nserve()"
    api.container(code)
    ends(api.start())
    ((first, error),) = batches.failed
    assert (first, "closed the connection" in error, set(batches.done)) == (0, True, {100})


def test_a_batch_that_takes_too_long_fails_and_one_more_replaces_the_worker(api: Api) -> None:
    batches = api.gateway.state.batches
    batches.items = [[0], [1], [2]]
    api.container(
        "def answer(path, items, headers):\n    time.sleep(60 if items != [1] else 0)\n    return 200, ''\nserve()"
    )
    batches.items = [[0], [1], [0], [0]]
    _, said = ends(api.start(batch_timeout=0.1), 1)
    assert [error for _, error in batches.failed] == ["no answer within 0.1 s"] * 3
    assert set(batches.done) == {100}
    assert "2 batches in a row had no answer within 0.1 s" in said


def test_as_many_batches_at_a_time_as_the_api_allows(api: Api) -> None:
    batches = api.gateway.state.batches
    batches.items = [[number] for number in range(12)]
    code = """
    import threading
    together, most = threading.Barrier(4), []
    def answer(path, items, headers):
        if path == "/":
            together.wait(30)
        return 200, ""
    serve()
    """
    api.container(code)
    ends(api.start(concurrency=4))
    assert len(batches.done) == 12
    assert max(len(call["held"]) for call in batches.calls) <= 16


# Readiness


def test_nothing_is_taken_before_all_containers_are_ready(api: Api) -> None:
    api.gateway.state.batches.items = [[1]]
    probe = {"kind": "http_get", "port": 8080, "path": "/healthz", "period_seconds": 1}
    api.container(PLAIN, readiness_probe=probe)
    api.container("time.sleep(0.2)\n(ROOT / 'ready').touch()\ntime.sleep(60)", "other")
    ends(api.start())
    assert api.gateway.state.batches.done == {0: []}


def test_what_never_gets_ready_ends_the_worker_with_the_reason(api: Api) -> None:
    api.gateway.state.batches.items = [[1]]
    probe = {"kind": "http_get", "port": 8080, "path": "/healthz", "period_seconds": 1}
    api.container(PLAIN, readiness_probe=probe)
    _, said = ends(api.start(ready_seconds=0.5), 1)
    assert "container 'api' is not ready after 0.5 s: GET /healthz on port" in said
    assert ": HTTP 503\n" in said
    assert "the server is not ready" not in said  # it listens
    assert api.gateway.state.batches.calls == []


# The ends of containers


@pytest.mark.parametrize("code", [3, 0])
@pytest.mark.parametrize("kind", ["BatchAPI", "TaskAPI"])
def test_a_container_that_ends_by_itself_ends_the_worker_with_its_exit_code(api: Api, code: int, kind: str) -> None:
    api.container(f"time.sleep(0.05)\nraise SystemExit({code})", "brief")
    api.container("(ROOT / 'pid').write_text(str(os.getpid()))\ntime.sleep(60)", "other")
    _, said = ends(api.start(kind), code)
    assert f"container 'brief' ended by itself with exit code {code}" in said
    if (api.root / "pid").exists():
        until(lambda: not is_alive(int((api.root / "pid").read_text())), "the other container has ended")


def test_a_killed_container_is_128_and_the_signal(api: Api) -> None:
    api.container("os.kill(os.getpid(), 9)")
    ends(api.start(), 137)


def test_a_program_that_does_not_exist(api: Api) -> None:
    api.container(PLAIN, command=["/no/such/program"])
    _, said = ends(api.start(), 127)
    assert "/no/such/program cannot be run" in said


def test_a_batch_whose_server_ends_is_lost_and_not_failed(api: Api) -> None:
    api.gateway.state.batches.items = [[1]]
    api.container("def answer(path, items, headers):\n    os._exit(7)\nserve()")
    ends(api.start(), 7)
    batches = api.gateway.state.batches
    assert (batches.failed, batches.done, batches.held) == ([], {}, {0})


@pytest.mark.parametrize("place", ["local", "kubernetes"])
def test_in_a_cluster_a_worker_waits_longer_to_hear_that_its_server_is_going(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(pod, "GOING_SECONDS", 0.0)
    worker = Pod({"place": place, "kind": "BatchAPI", "port": 8080})
    looks = iter([lambda: None, worker.must_end.set])

    def look(_: Pod) -> bool:
        next(looks)()
        return False

    monkeypatch.setattr(Pod, "_keeps_listening", look)
    assert worker.is_going() is (place == "kubernetes")


def test_a_liveness_probe_that_fails_ends_the_worker(api: Api) -> None:
    probe = {"kind": "exec", "command": [sys.executable, "-c", "raise SystemExit(4)"], "period_seconds": 0}
    api.container(PLAIN, liveness_probe={**probe, "failure_threshold": 2, "timeout_seconds": 30})
    api.gateway.state.batches.ended = False
    _, said = ends(api.start(), 137)
    assert "the liveness probe of container 'api' fails: `" in said
    assert "exit code 4" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_end_waits_for_the_batch_in_hand(api: Api, number: signal.Signals) -> None:
    batches = api.gateway.state.batches
    batches.items = [[1], [2]]
    code = "def answer(path, items, headers):\n    (ROOT / 'begun').touch()\n    time.sleep(0.3)\n    return 200, ''\nserve()"
    api.container(code)
    worker = api.start()
    until((api.root / "begun").exists, "a batch is in hand")
    worker.send_signal(number)
    ends(worker, 143)
    assert batches.done == {0: []}


def test_a_request_to_end_is_heard_at_once_without_a_batch(api: Api) -> None:
    api.container("(ROOT / 'pid').write_text(str(os.getpid()))\n" + PLAIN)
    batches = api.gateway.state.batches
    batches.ended = False
    worker = api.start()
    api.gateway.state.until(lambda: batches.calls)
    worker.send_signal(signal.SIGTERM)
    ends(worker, 143)
    until(lambda: not is_alive(int((api.root / "pid").read_text())), "the container has ended")


# What a container sees


def test_the_job_its_port_and_the_gateway_are_there(api: Api) -> None:
    code = """
    job = json.loads(Path(os.environ["CORTEX_JOB_FILE"]).read_text())
    names = ("MINE", "CORTEX_VERSION", "CORTEX_TOKEN", "CORTEX_PAYLOAD", "FABRIC_JOBS_SOCKET")
    told = {"job": job, "arguments": sys.argv[2:], "port": os.environ["CORTEX_PORT"], "also": os.environ["PORT"]}
    told["client"] = (Path(os.environ["CORTEX_CLI_CONFIG_DIR"]) / "cli.yaml").read_text()
    told["gateway"] = os.environ["CORTEX_GATEWAY_URL"]
    told["variables"] = {name: os.environ.get(name) for name in names}
    print(json.dumps(told))
    """
    args = [str(api.root), "--port=$(CORTEX_PORT)", "$(MINE)", "$(UNKNOWN)"]
    api.container(code, args=args, env={"MINE": "on $(CORTEX_PORT)"})
    out, _ = ends(api.start(variables={"CORTEX_VERSION": "0.42.1"}, remarks=["mind the port"]))
    told = json.loads(out)
    port = told["port"]
    assert told["job"] == JOB
    assert (told["also"], told["arguments"]) == (port, [f"--port={port}", f"on {port}", "$(UNKNOWN)"])
    assert f"operator_endpoint: {told['gateway']}\n" in told["client"]
    nothing = dict.fromkeys(("CORTEX_TOKEN", "CORTEX_PAYLOAD", "FABRIC_JOBS_SOCKET"))
    assert told["variables"] == {"MINE": f"on {port}", "CORTEX_VERSION": "0.42.1", **nothing}


def test_containers_share_what_is_mounted_where_that_is_possible(api: Api) -> None:
    code = """
    try:
        job = Path("/cortex/spec/job.json").read_text()
    except OSError:
        print("not here")
        raise SystemExit
    assert json.loads(job)["job_id"] == os.environ["WANTED"]
    Path("/mnt", os.environ["WANTED"]).write_text("from one to the other")
    while not Path("/mnt", "answer").exists():
        time.sleep(0.01)
    print(Path("/mnt", "answer").read_text(), os.getcwd() == sys.argv[1])
    """
    other = """
    while not Path("/mnt", os.environ["WANTED"]).exists():
        time.sleep(0.01)
    Path("/mnt", "answer.part").write_text("from the other")
    Path("/mnt", "answer.part").rename("/mnt/answer")
    time.sleep(60)
    """
    api.container(code, env={"WANTED": JOB["job_id"]})
    api.container(other, "other", env={"WANTED": JOB["job_id"]})
    out, said = ends(api.start("TaskAPI"))
    if "cannot be mounted" in said:
        assert out == "not here\n"
    else:
        assert out == "from the other True\n"
        assert not Path("/mnt", "answer").exists()

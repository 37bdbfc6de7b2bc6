"""Daemons and external APIs: started once, called a few at a time, restarted, and reported truthfully."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live, kill_attempt, until

COUNT = "for n in range(message()['payload']): send_message(n)"
SERVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
with open(ROOT / "starts", "a") as file:
    file.write(f"{os.getpid()}\\n")

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = handle(envelope, self)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass

def serve():
    server = ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Handler)
    server.serve_forever()
"""
DOUBLE = """
def handle(envelope, request):
    return 200, {"payload": envelope["payload"] * 2}
serve()
"""


def daemon(live: Live, name: str, program: str, **action: Any) -> None:
    """Write a skill with one daemon. The owner stays, since the daemon would end with it."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.skill(name, "pass", outputs=("response", "other"))
    (live.root / "skills" / name / "actions" / name / "main.py").write_text(
        f"import json, os, sys\nfrom pathlib import Path\nROOT = Path({str(live.root)!r})\n" + SERVER + program
    )
    path = live.root / "skills" / name / "skill.yaml"
    document = json.loads(path.read_text())
    target = {"action": name, "runtime": "cortex/daemons", "output": "response"}
    document["inputs"] = [{"name": "request", "routing": {"all": target}}]
    made = {"name": name, "type": "daemon", "port": "5000", "command": ["python", "main.py"]}
    document["actions"] = [{**made, **action}]
    path.write_text(json.dumps(document))


def starts(live: Live) -> list[int]:
    return [int(line) for line in (live.root / "starts").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def chain(live: Live, name: str = "each") -> None:
    live.skill("source", COUNT)
    live.agent(
        "line", ("input", "source"), ("source", name), (f"{name}.response", "output"), (f"{name}.other", "output")
    )


def test_a_daemon_is_started_once_and_answers_in_the_order_of_the_records(live: Live) -> None:
    daemon(live, "each", DOUBLE, concurrency=4)
    chain(live)
    for count in (50, 30):
        assert live.invoke("line", count, kind="agents")["response"] == [2 * n for n in range(count)]
    assert live.invoke("each", 21)["response"] == 42
    assert len(starts(live)) == 1
    (server,) = [task for task in live.ok("tasks", "list", "-o", "json").value if task["activationId"] is None]
    assert "serves all activations" in live.fails(2, "tasks", "cancel", server["name"])
    kinds = {task["skillName"]: task["state"] for task in live.ok("tasks", "list", "-o", "json").value}
    assert kinds["each"] in ("COMPLETE", "ACTIVE")


def test_a_daemon_that_dies_is_started_again_and_no_record_is_lost(live: Live) -> None:
    program = """
def handle(envelope, request):
    marker = ROOT / "died"
    if envelope["payload"] == 5 and not marker.exists():
        marker.touch()
        os._exit(1)
    return 200, {"payload": envelope["payload"]}
serve()
"""
    daemon(live, "each", program, concurrency=2)
    chain(live)
    assert live.invoke("line", 20, kind="agents")["response"] == list(range(20))
    assert len(starts(live)) == 2


def test_an_output_that_a_daemon_names_is_the_one_it_goes_to(live: Live) -> None:
    program = 'def handle(envelope, request):\n    return 200, {"payload": 1, "outputName": "other"}\nserve()\n'
    daemon(live, "each", program)
    live.agent("line", ("input", "each"), ("each.other", "output"))
    assert live.invoke("line", 3, kind="agents")["response"] == 1


def test_an_error_of_a_daemon_is_a_failure_with_its_body(live: Live) -> None:
    program = 'def handle(envelope, request):\n    return 500, b"out of cheese\\nredo"\nserve()\n'
    daemon(live, "each", program)
    ran = live.run("skills", "invoke", "each", "--payload", 1, "-o", "json")
    assert ran.code == 1
    assert ran.value["error"]["lastLines"] == ["out of cheese", "redo"]
    assert "answered 500" in ran.value["cause"]


def test_the_records_that_a_daemon_refuses_are_dead_letters(live: Live) -> None:
    program = """
def handle(envelope, request):
    if envelope["payload"] % 3 == 0:
        return 422, {"no": envelope["payload"]}
    return 200, {"payload": envelope["payload"]}
serve()
"""
    daemon(live, "each", program, onError="continue", concurrency=3, retries={"limit": 5, "backoff_seconds": 60})
    chain(live)
    ran = live.run("agents", "invoke", "line", "--payload", 10, "-o", "json")
    assert ran.value["response"] == [n for n in range(10) if n % 3]
    assert ran.value["error"]["deadLetters"] == 4


def test_a_daemon_that_does_not_come_up_says_why(live: Live) -> None:
    daemon(live, "each", "sys.exit('no model here')")
    ran = live.run("skills", "invoke", "each", "--payload", 1)
    assert ran.code == 1
    assert "before it listened" in ran.err
    assert "no model here" in ran.err


def test_calls_go_on_after_the_owner_was_killed_and_the_daemon_is_taken_over(live: Live) -> None:
    program = """
def handle(envelope, request):
    if envelope["payload"] == 40:
        (ROOT / "there").touch()
        with open(ROOT / "gate") as gate:
            gate.read()
        (ROOT / "on").touch()
    return 200, {"payload": envelope["payload"]}
serve()
"""
    daemon(live, "each", program)
    chain(live)
    gate = live.gate("gate")
    activation = live.detach("line", 60, kind="agents")
    until((live.root / "there").exists, "the daemon is at record 40")
    live.kill_owner()
    live.release(gate)
    until((live.root / "on").exists, "the call of the owner that was killed is over")  # it no longer holds the gate
    waiting = live.start("activations", "wait", activation, "-o", "json", "-q")
    live.release(gate)  # the call is repeated: its answer had not been stored
    assert json.loads(waiting.finish().out)["response"] == list(range(60))
    assert len(starts(live)) == 1


def test_a_cancelled_activation_calls_no_more(live: Live) -> None:
    program = """
def handle(envelope, request):
    (ROOT / "there").touch()
    open(ROOT / "gate").read()
    return 200, {"payload": 1}
serve()
"""
    daemon(live, "each", program)
    gate = live.gate("gate")
    activation = live.detach("each", 1)
    until((live.root / "there").exists, "the daemon was called")
    live.ok("activations", "cancel", activation)
    assert live.run("activations", "wait", activation, "-o", "json").value["status"] == "CANCELLED"
    live.release(gate)
    (task,) = [task for task in live.ok("tasks", "list", "-o", "json").value if task["activationId"] == activation]
    assert task["state"] == "CANCELLED"


def test_a_daemon_whose_shim_was_killed_does_not_outlive_the_next_owner(live: Live) -> None:
    daemon(live, "each", DOUBLE)
    live.invoke("each", 1)
    (attempt,) = live.attempts("each")
    live.kill_owner()
    kill_attempt(attempt)
    assert live.invoke("each", 2)["response"] == 4
    first, _ = starts(live)
    until(lambda: is_gone(first), "the first daemon has ended")


# External APIs


class Echo(BaseHTTPRequestHandler):
    """Answers with the request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer: Any = {"path": self.path, "body": json.loads(body), "key": self.headers["X-Key"]}
        self._answer(500 if json.loads(body) == "fail" else 200, json.dumps(answer).encode())

    def do_GET(self) -> None:
        self._answer(200, b"just text")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port; yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api() -> Iterator[str]:
    with served(Echo) as url:
        yield url


def external(live: Live, **properties: Any) -> None:
    directory = live.root / "skills" / "api"
    directory.mkdir(parents=True)
    target = {"runtime": "cortex/external-api", "output": "response"}
    document = {
        "camel": "1.0.0",
        "name": "api",
        "inputs": [{"name": "request", "routing": {"all": target}}],
        "outputs": [{"name": "response"}],
        "properties": [{"name": key, "defaultValue": value} for key, value in properties.items()],
    }
    (directory / "skill.yaml").write_text(json.dumps(document))


def test_an_external_api_gets_the_payload_and_its_answer_is_the_payload(live: Live, api: str) -> None:
    external(live, url=f"{api}/base", path="/items?x=1", **{"headers.X-Key": "abc"})
    record = live.invoke("api", {"a": [1]})
    assert record["response"] == {"path": "/base/items?x=1", "body": {"a": [1]}, "key": "abc"}
    ran = live.run("skills", "invoke", "api", "--payload", '"fail"')
    assert ran.code == 1
    assert "answered 500" in ran.err


def test_what_is_not_json_is_a_text(live: Live, api: str) -> None:
    external(live, url=api, method="GET")
    assert live.invoke("api", None)["response"] == "just text"


@pytest.mark.parametrize("url", ["", "ftp://x", "http://127.0.0.1:99999", "http://127.0.0.1:1"])
def test_an_address_that_leads_nowhere_is_said(live: Live, url: str) -> None:
    external(live, url=url)
    ran = live.run("skills", "invoke", "api", "--payload", "1")
    assert ran.code == 1
    assert "not an http address" in ran.err or "cannot be reached" in ran.err


def test_the_end_of_an_owner_is_the_end_of_its_daemons(live: Live) -> None:
    daemon(live, "each", DOUBLE)
    live.invoke("each", 1)
    (pid,) = starts(live)
    os.kill(live.owner(), signal.SIGTERM)

    until(lambda: is_gone(pid), "the daemon has ended")


def test_a_daemon_whose_program_has_changed_is_started_anew(live: Live) -> None:
    daemon(live, "each", DOUBLE)
    assert live.invoke("each", 2)["response"] == 4
    main = live.root / "skills/each/actions/each/main.py"
    main.write_text(main.read_text().replace("* 2", "* 30"))
    assert live.invoke("each", 2)["response"] == 60
    old, new = starts(live)
    assert old != new
    until(lambda: not Path(f"/proc/{old}").exists() or None, "the old daemon has ended")
    assert live.invoke("each", 3)["response"] == 90
    assert len(starts(live)) == 2


def test_an_activation_that_runs_goes_on_with_the_changed_program(live: Live) -> None:
    daemon(live, "each", DOUBLE)
    gate = live.gate("gate")
    source = "for n in range(1, 4):\n    send_message(n, wait=True)\n    open(ROOT / 'gate').read()"
    live.skill("source", source)
    live.agent("line", ("input", "source"), ("source", "each"), ("each.response", "output"))
    activation = live.detach("line", None, kind="agents")
    until(lambda: live.progress(activation)["each"]["out"] == 1, "the first answer")
    main = live.root / "skills/each/actions/each/main.py"
    main.write_text(main.read_text().replace("* 2", "* 30"))
    assert live.invoke("each", 2)["response"] == 60
    for answers in (2, 3):
        live.release(gate)
        until(lambda answers=answers: live.progress(activation)["each"]["out"] == answers, f"answer {answers}")  # type: ignore[misc]
    live.release(gate)
    assert live.wait(activation)["response"] == [2, 60, 90]
    assert len(starts(live)) == 2


def test_a_start_that_nobody_waits_for_any_more_is_for_the_next_call(live: Live) -> None:
    program = """
(ROOT / "there").touch()
open(ROOT / "gate").read()
def handle(envelope, request):
    return 200, {"payload": envelope["payload"]}
serve()
"""
    daemon(live, "each", program)
    gate = live.gate("gate")
    activation = live.detach("each", 1)
    until((live.root / "there").exists, "the daemon starts")
    live.ok("activations", "cancel", activation)
    assert live.wait(activation)["status"] == "CANCELLED"
    live.release(gate)
    assert live.invoke("each", 5)["response"] == 5
    assert len(starts(live)) == 1


def test_the_log_that_a_failure_names_is_that_of_the_daemon(live: Live) -> None:
    program = 'def handle(envelope, request):\n    print("I said no", flush=True)\n    return 500, b""\nserve()\n'
    daemon(live, "each", program)
    record, said = live.fail("each", 1)
    assert record["error"]["task"] in said
    assert "I said no" in live.ok("tasks", "logs", record["error"]["task"]).out


def test_a_failure_of_a_daemon_shows_what_it_printed_and_so_do_the_logs_of_the_activation(live: Live) -> None:
    program = """
def handle(envelope, request):
    print(f"at {envelope['payload']}", file=sys.stderr, flush=True)
    return (500, b"Internal Server Error") if envelope["payload"] == 2 else (200, {"payload": 1})
serve()
"""
    daemon(live, "each", program)
    assert live.invoke("each", 1)["response"] == 1
    record = live.run("skills", "invoke", "each", "--payload", 2, "-o", "json").value
    assert record["error"]["lastLines"][0] == "Internal Server Error"
    assert record["error"]["lastLines"][-1] == "at 2"
    log = live.run("activations", "logs", record["activationId"])
    assert "at 2" in log.out + log.err


def test_a_daemon_that_dies_at_a_call_shows_what_it_printed(live: Live) -> None:
    daemon(
        live,
        "each",
        "def handle(envelope, request):\n    print('no more', file=sys.stderr, flush=True)\n    os._exit(3)\nserve()",
    )
    record = live.run("skills", "invoke", "each", "--payload", 1, "-o", "json").value
    assert "no more" in record["error"]["lastLines"]

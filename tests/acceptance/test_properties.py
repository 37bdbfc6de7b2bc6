"""Properties and headers from all their layers, as a job, a daemon and an external API get them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.acceptance.live import Live
from tests.acceptance.test_calls import daemon

SHOW_JOB = "m = message(); print(json.dumps({key: m[key] for key in ('properties', 'headers')}))"
SHOW_DAEMON = """
def show(self):
    envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
    found = {key: envelope[key] for key in ("properties", "headers")}
    found |= {"asked": [self.command, self.path], "sent": {k.lower(): v for k, v in self.headers.items()}}
    body = json.dumps({"payload": found}).encode()
    self.send_response(200)
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body)
Handler.do_PUT = Handler.do_POST = show
serve()
"""
GIVEN = {"X-Pass": "given", "X-Both": "given", "X-Other": "given", "Authorization": "Basic eA=="}
PASSED = {"X-Pass": "given", "X-Both": "given"}


class Mirror(BaseHTTPRequestHandler):
    """Answers with the request."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self._show(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self._show(b"null")

    do_POST = do_PUT

    def _show(self, body: bytes) -> None:
        sent = {name.lower(): value for name, value in self.headers.items()}
        answer = json.dumps({"asked": [self.command, self.path], "sent": sent, "body": json.loads(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def defaults(live: Live, skill: str, properties: Mapping[str, Any], routing: Mapping[str, Any] | None = None) -> None:
    """Give a skill properties with defaults, and possibly another routing."""
    path = live.root / "skills" / skill / "skill.yaml"
    document = json.loads(path.read_text())
    document["properties"] = [{"name": name, "defaultValue": value} for name, value in properties.items()]
    if routing is not None:
        document |= {"inputs": [{"name": "request", "routing": {"all": dict(routing)}}], "actions": []}
    path.write_text(json.dumps(document))


def agent_of(live: Live, skill: str, agent: Mapping[str, Any], reference: Mapping[str, Any]) -> None:
    """Write the agent `one` of a skill, with properties of both."""
    live.agent("one", ("input", skill), (skill, "output"), properties={"allowedHeaders": "x-pass, X-Both", **agent})
    path = live.root / "agents" / "one.yaml"
    document = json.loads(path.read_text())
    document["skills"][0]["properties"] = [{"name": name, "value": value} for name, value in reference.items()]
    path.write_text(json.dumps(document))


def invoked(live: Live, **properties: Any) -> Any:
    """Return the activation's record, invoked with properties and headers."""
    params = json.dumps({"payload": [1], "properties": properties})
    headers = [word for name, value in GIVEN.items() for word in ("--header", f"{name}: {value}")]
    return live.ok("agents", "invoke", "one", "--params", params, *headers, "-o", "json").value


LAYERS = ({"a": 1, "b": 1, "c": 1, "d": 1}, {"b": 2, "c": 2, "d": 2}, {"c": 3, "d": 3}, {"d": 4})
MERGED = {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_job_gets_all_layers_and_the_allowed_headers(live: Live) -> None:
    live.skill("show", SHOW_JOB, response="json")
    default, reference, agent, invocation = LAYERS
    defaults(live, "show", default)
    agent_of(live, "show", agent, reference)
    record = invoked(live, **invocation)
    assert record["response"]["properties"] == {**MERGED, "allowedHeaders": "x-pass, X-Both"}
    assert {name.lower(): value for name, value in record["response"]["headers"].items()} == {
        name.lower(): value for name, value in PASSED.items()
    }
    assert record["headers"] == record["response"]["headers"]
    assert record["properties"] == invocation


def test_a_daemon_is_called_as_the_last_layer_says(live: Live) -> None:
    daemon(live, "show", SHOW_DAEMON)
    default, reference, agent, invocation = LAYERS
    own = {"headers.X-Both": "own", "headers.X-Own": 7, "daemon.path": "first", "daemon.method": "DELETE"}
    defaults(live, "show", {**default, **own})
    agent_of(live, "show", {**agent, "daemon.path": "third"}, {**reference, "daemon.path": "second"})
    found = invoked(live, **invocation, **{"daemon.method": "put"})["response"]
    assert found["asked"] == ["PUT", "/third"]
    assert {key: found["properties"][key] for key in MERGED} == MERGED
    assert {name: found["sent"].get(name) for name in ("x-pass", "x-both", "x-own", "x-other", "authorization")} == {
        "x-pass": "given",
        "x-both": "given",
        "x-own": "7",
        "x-other": None,
        "authorization": None,
    }


def test_a_daemon_is_called_by_post_at_invoke_otherwise(live: Live) -> None:
    daemon(live, "show", SHOW_DAEMON)
    agent_of(live, "show", {}, {})
    assert invoked(live)["response"]["asked"] == ["POST", "/invoke"]


def test_an_external_api_is_called_as_the_last_layer_says(live: Live, mirror: str) -> None:
    live.skill("show", "pass")
    own = {"url": "http://127.0.0.1:1", "path": "first", "headers.X-Both": "own", "headers.X-Own": True}
    defaults(live, "show", own, {"runtime": "cortex/external-api", "output": "response"})
    agent_of(live, "show", {"url": f"{mirror}/base?k=1"}, {"path": "second"})
    found = invoked(live, method="put", path="/fourth one?l=2")["response"]
    assert found["asked"] == ["PUT", "/base/fourth%20one?k=1&l=2"]
    assert found["body"] == [1]
    assert (found["sent"]["x-pass"], found["sent"]["x-both"], found["sent"]["x-own"]) == ("given", "given", "true")
    assert not {"x-other", "authorization"} & found["sent"].keys()
    assert found["sent"]["host"] == mirror.removeprefix("http://")
    found = invoked(live, method="GET", path=None)["response"]
    assert (found["asked"], found["body"]) == (["GET", "/base?k=1"], None)


@pytest.mark.parametrize("value", ["x", "70000", "0"])
def test_a_port_that_is_none_fails_the_call_with_a_reason(live: Live, value: str) -> None:
    daemon(live, "show", SHOW_DAEMON)
    defaults(live, "show", {"daemon.port": value})
    _, said = live.fail("show")
    assert "'daemon.port' is not the number of a port" in said
    assert "from 1 to 65535" in said

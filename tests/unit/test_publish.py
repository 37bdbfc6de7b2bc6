"""Publishing to a gateway: its calls, their order, and refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.client.gateway import Gateway
from fabric_jobs.client.remote import Remote
from fabric_jobs.errors import InvalidDefinition, NotAllowed, PlaceUnavailable
from fabric_jobs.workspace.publishing.lock_file import Lock
from fabric_jobs.workspace.publishing.plan import Publication, make_plan
from fabric_jobs.workspace.publishing.publish import CHANGED, NEW, UNCHANGED, compare, save
from fabric_jobs.workspace.tree import Workspace
from tests.publishing import DIGEST, LAB, Engine, agent, locked, skill

PREFIX = "/fabric/v4/projects/local"


class Stub(ThreadingHTTPServer):
    """A gateway that keeps posted definitions, and refuses those chosen by the test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[str] = []
        self.kept: dict[str, Any] = {}
        self.refusals: dict[str, tuple[int, dict[str, str]]] = {}

    def gateway(self) -> Gateway:
        """Return a client for it."""
        return Gateway(Remote(url=f"http://127.0.0.1:{self.server_address[1]}", token="x"))


class Handler(BaseHTTPRequestHandler):
    """One call."""

    server: Stub

    def do_GET(self) -> None:
        """Show or deploy a definition."""
        path = self.path.removeprefix(PREFIX)
        call = path if path.endswith("/deploy") else f"GET {path}"
        if path.endswith("/deploy"):
            self._answer(call, 200, {"success": True, "message": f"{path} is done"})
        elif path in self.server.kept:
            self._answer(call, 200, {**self.server.kept[path], "_version": 1, "updatedAt": 7})
        else:
            self._answer(call, 404, {"error": "NotFound", "message": "there is none"})

    def do_POST(self) -> None:
        """Save a definition."""
        path = self.path.removeprefix(PREFIX)
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert "x-fabric-source" not in self.headers
        call = f"POST {path}/{document['name']}"
        if call not in self.server.refusals:
            self.server.kept[f"{path}/{document['name']}"] = document
        self._answer(call, 200, {"success": True, "version": 1})

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _answer(self, call: str, status: int, value: dict[str, Any]) -> None:
        self.server.calls.append(call)
        status, value = self.server.refusals.get(call, (status, value))
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Yield a gateway that ends with the test."""
    with Stub() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def plan(tmp_path: Path) -> Publication:
    """Return the plan for a pushed skill, an external API, and an agent of both."""
    skill(tmp_path, "one", "one")
    skill(tmp_path, "two")
    agent(tmp_path, "both", "one", "two")
    lock = Lock(skills={"one": {"one": locked(tmp_path, "one", "one")}})
    return make_plan(Workspace(tmp_path), None, LAB, lock, Engine(), skip_push=False)


def test_skills_are_saved_and_deployed_before_agents(stub: Stub, plan: Publication) -> None:
    published = save(plan, stub.gateway())
    assert [call for call in stub.calls if not call.startswith("GET")] == [
        "POST /skills/one",
        "/skills/one/deploy",
        "POST /skills/two",
        "/skills/two/deploy",
        "POST /agents/both",
        "/agents/both/deploy",
    ]
    assert [(one.state, one.version) for one in published] == [(NEW, 1)] * 3
    assert published[0].message == "/skills/one/deploy is done"
    assert stub.kept["/skills/one"]["actions"][0]["image"] == f"localhost:5000/flights/one@{DIGEST}"


def test_what_is_there_is_not_saved_again(stub: Stub, plan: Publication) -> None:
    save(plan, stub.gateway())
    stub.calls.clear()
    published = save(plan, stub.gateway())
    assert [one.state for one in published] == [UNCHANGED] * 3
    assert not any(call.startswith("POST") for call in stub.calls)
    stub.kept["/skills/two"]["title"] = "Another"
    assert [one.state for one in compare(plan, stub.gateway())] == [UNCHANGED, CHANGED, UNCHANGED]


def test_comparing_saves_nothing(stub: Stub, plan: Publication) -> None:
    assert [one.state for one in compare(plan, stub.gateway())] == [NEW] * 3
    assert stub.calls == ["GET /skills/one", "GET /skills/two", "GET /agents/both"]


def test_a_document_that_the_gateway_refuses_is_an_invalid_file_and_the_next_try_goes_on(
    stub: Stub, plan: Publication
) -> None:
    stub.refusals["POST /skills/two"] = (
        400,
        {"error": "InvalidDefinition", "message": "actions: too old", "hint": "Use another."},
    )
    with pytest.raises(
        InvalidDefinition, match=r"two/skill\.yaml: error: the gateway refuses it: actions: too old Use"
    ):
        save(plan, stub.gateway())
    assert list(stub.kept) == ["/skills/one"]
    stub.refusals.clear()
    assert [one.state for one in save(plan, stub.gateway())] == [UNCHANGED, NEW, NEW]


def test_a_deployment_that_fails_says_what_was_done_and_is_tried_again(stub: Stub, plan: Publication) -> None:
    stub.refusals["/skills/one/deploy"] = (
        503,
        {"error": "PlaceUnavailable", "message": "no engine", "hint": "Start it."},
    )
    with pytest.raises(PlaceUnavailable, match="skill 'one' is saved, but was not deployed: no engine") as caught:
        save(plan, stub.gateway())
    assert caught.value.hint == "Start it."
    stub.refusals.clear()
    stub.calls.clear()
    assert save(plan, stub.gateway())[0].state == UNCHANGED
    assert "/skills/one/deploy" in stub.calls


def test_a_token_that_is_refused_is_told(stub: Stub, plan: Publication) -> None:
    stub.refusals["GET /skills/one"] = (401, {"error": "NotAllowed", "message": "the token is wrong"})
    with pytest.raises(NotAllowed, match="the token is wrong"):
        compare(plan, stub.gateway())

"""Artifacts of runs: files of any size, which are content under a key of their run."""

from __future__ import annotations

import json
import socket

from tests.acceptance.live import PROJECT, Live
from tests.gateway.test_users import Caller

RUN = f"{PROJECT}/experiments/cortex%2Fe/runs/r"
KEY = "experiments/cortex/e/r/artifacts/model"


def with_run(live: Live) -> Caller:
    caller = Caller(live)
    caller.post("/experiments", {"name": "cortex/e"})
    caller.post("/experiments/cortex/e/runs", {"runId": "r"})
    return caller


def test_an_artifact_is_stored_as_content_of_its_run_and_deleted_with_it(live: Live) -> None:
    caller, data = with_run(live), bytes(range(256)) * 5000
    answer = caller.call("PUT", f"{RUN}/artifacts/model", data, **{"content-type": "application/x-pickle"})
    assert (answer.status, json.loads(answer.body)["key"]) == (200, KEY)
    assert answer.headers["connection"] == "close"
    assert caller.get("/experiments/cortex/e/runs/r")["artifacts"] == {"model": KEY}
    for path in (f"{RUN}/artifacts/model", f"{PROJECT}/content/{KEY}"):
        found = caller.call("GET", path)
        assert (found.body, found.headers["content-type"]) == (data, "application/x-pickle")
    part = caller.call("GET", f"{RUN}/artifacts/model", range="bytes=10-19")
    assert (part.status, part.body) == (206, data[10:20])
    caller.call("PUT", f"{RUN}/artifacts/model", b"other")
    assert caller.call("GET", f"{RUN}/artifacts/model").body == b"other"
    caller.call("PUT", f"{RUN}/artifacts/more/plots.png", b"png")
    assert len(caller.get("/content")) == 2
    assert caller.call("DELETE", f"{PROJECT}/experiments/cortex%2Fe").status == 200
    assert caller.get("/content") == []
    caller.refused(404, "GET", f"{RUN}/artifacts/model")


def test_only_a_run_has_artifacts_and_their_names_are_keys(live: Live) -> None:
    caller = with_run(live)
    for method, body in (("PUT", b"x"), ("GET", b"")):
        caller.refused(404, method, f"{PROJECT}/experiments/cortex%2Fe/runs/none/artifacts/model", body)
        caller.refused(404, method, f"{PROJECT}/experiments/none/runs/r/artifacts/model", body)
        for name in ("..%2f..%2f..%2fx", "a%00b", "a%0ab", "x" * 2000):
            caller.refused(400, method, f"{RUN}/artifacts/{name}", body)
    caller.refused(404, "GET", f"{RUN}/artifacts/none")
    assert caller.get("/content") == []
    assert caller.get("/experiments/cortex/e/runs/r")["artifacts"] == {}


def test_half_an_upload_stores_nothing(live: Live) -> None:
    caller = with_run(live)
    host, port = Caller(live, tcp=True).place
    head = f"PUT {RUN}/artifacts/model HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {caller.address.token}\r\n"
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(f"{head}content-length: 100\r\n\r\n{'x' * 50}".encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)
    assert caller.get("/experiments/cortex/e/runs/r")["artifacts"] == {}
    assert caller.get("/content") == []


def test_a_forged_artifact_is_not_taken_over(live: Live) -> None:
    caller = with_run(live)
    caller.call("POST", f"{PROJECT}/content/other", b"mine")
    body = json.dumps({"artifacts": {"model": "other"}}).encode()
    caller.call("PUT", RUN, body)
    caller.post("/experiments/cortex/e/runs", {"runId": "s", "artifacts": {"model": "other"}})
    for run in ("r", "s"):
        assert caller.get(f"/experiments/cortex/e/runs/{run}")["artifacts"] == {}
        assert caller.call("DELETE", f"{PROJECT}/experiments/cortex%2Fe/runs/{run}").status == 200
    assert caller.call("GET", f"{PROJECT}/content/other").body == b"mine"

"""The protocol of a mesh, with images of generated skills: wait until Envoy is live, run the job, end the sidecar."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.docker_place import BASE_IMAGE, docker, needs_docker
from tests.scuttle.conftest import ImageOf, OpenMesh
from tests.scuttle.images import HARDENED, SECONDS, run, unique
from tests.scuttle.mesh import JOB, LOOK, QUIT, Mesh

pytestmark = needs_docker

HOST = ("--network", "host")  # the stub answers on 127.0.0.1, as a sidecar does for the containers of its pod
STARTING = "PRE_INITIALIZING"


def message(mesh: Mesh, **payload: object) -> str:
    """Return the message of the probe, which tells the mesh that it runs."""
    return json.dumps({"payload": {"marker": f"{mesh.address}/job", **payload}})


def test_the_job_starts_when_envoy_is_live_and_the_sidecar_is_ended_once(
    image_of: ImageOf, open_mesh: OpenMesh
) -> None:
    mesh = open_mesh(STARTING, "INITIALIZING", STARTING, "LIVE")
    ended = run(image_of("probe"), message(mesh), variables=mesh.variables(), options=HOST)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "what the job prints\n", "what the job logs\n")
    assert mesh.requests == [*[LOOK] * 4, JOB, QUIT]


@pytest.mark.parametrize(
    ("payload", "code"),
    [({"code": 7}, 7), ({"signal": signal.SIGKILL}, 255), ({"signal": signal.SIGTERM}, 255)],
    ids=["exit 7", "killed", "terminated"],
)
def test_a_job_that_fails_keeps_its_exit_code(
    image_of: ImageOf, open_mesh: OpenMesh, payload: dict[str, int], code: int
) -> None:
    mesh = open_mesh(STARTING, "LIVE")
    ended = run(image_of("probe"), message(mesh, **payload), variables=mesh.variables(), options=HOST)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "what the job prints\n", "what the job logs\n")
    assert mesh.requests == [LOOK, LOOK, JOB, QUIT]


@pytest.mark.parametrize(("payload", "code"), [({"caught": 5}, 5), ({}, 255)], ids=["caught", "not caught"])
def test_a_stop_from_outside_reaches_the_job_and_ends_the_sidecar(
    image_of: ImageOf, open_mesh: OpenMesh, payload: dict[str, int], code: int
) -> None:
    mesh = open_mesh()
    with_mesh = [word for pair in mesh.variables().items() for word in ("--env", "=".join(pair))]
    name = unique()
    given = message(mesh, stays=True, **payload)
    docker("run", "--detach", "--name", name, *HARDENED, *HOST, *with_mesh, image_of("probe"), given)
    try:
        assert mesh.job_runs.wait(SECONDS)
        docker("stop", "-t", str(SECONDS), name)
        assert docker("wait", name).stdout == f"{code}\n"
    finally:
        docker("rm", "--force", name)
    assert mesh.requests == [LOOK, JOB, QUIT]


@pytest.mark.parametrize(
    ("variables", "code", "requests"),
    [
        ({"NEVER_KILL_ISTIO": "true"}, 7, [LOOK, JOB]),
        ({"NEVER_KILL_ISTIO_ON_FAILURE": "true"}, 7, [LOOK, JOB]),
        ({"NEVER_KILL_ISTIO_ON_FAILURE": "true"}, 0, [LOOK, JOB, QUIT]),
        ({"START_WITHOUT_ENVOY": "true"}, 7, [JOB, QUIT]),
        ({"ENVOY_ADMIN_API": ""}, 7, [JOB]),
    ],
    ids=["never", "not on failure, failed", "not on failure, went well", "without waiting", "no protocol"],
)
def test_variables_of_the_run_win_over_those_of_the_image(
    image_of: ImageOf, open_mesh: OpenMesh, variables: dict[str, str], code: int, requests: list[str]
) -> None:
    mesh = open_mesh()
    given = {**mesh.variables(), **variables}
    ended = run(image_of("probe"), message(mesh, code=code), variables=given, options=HOST)
    assert (ended.returncode, mesh.requests) == (code, requests)


def test_a_wait_that_is_too_long_fails_when_the_run_asks_for_that(image_of: ImageOf, open_mesh: OpenMesh) -> None:
    mesh = open_mesh(STARTING)
    given = {**mesh.variables(), "QUIT_WITHOUT_ENVOY_TIMEOUT": "1s"}
    ended = run(image_of("probe"), message(mesh), variables=given, options=HOST)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")
    assert set(mesh.requests) == {LOOK}


def test_a_wait_that_is_too_long_ends_with_the_job_when_the_run_asks_for_that(
    image_of: ImageOf, open_mesh: OpenMesh
) -> None:
    mesh = open_mesh(STARTING)
    given = {**mesh.variables(), "WAIT_FOR_ENVOY_TIMEOUT": "1s"}
    ended = run(image_of("probe"), message(mesh), variables=given, options=HOST)
    assert (ended.returncode, ended.stdout) == (0, "what the job prints\n")
    assert mesh.requests[-2:] == [JOB, QUIT]
    assert set(mesh.requests[:-2]) == {LOOK}


# As in a pod: the containers share a network, and only the image's own variables are set.

SIDECAR = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

states = ["PRE_INITIALIZING", "LIVE"]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"state": states.pop(0) if len(states) > 1 else states[0]})

    def do_POST(self):
        self.rfile.readline()  # the only chunk, which is empty
        self.rfile.readline()
        self.answer({})

    def answer(self, value):
        print(self.server.server_port, self.command, self.path, *value.values(), flush=True)
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass

servers = [ThreadingHTTPServer(("127.0.0.1", port), Handler) for port in (15000, 15020)]
print("listening", flush=True)
Thread(target=servers[0].serve_forever).start()
servers[1].serve_forever()
"""


@pytest.fixture
def sidecar() -> Iterator[str]:
    """Yield the name of a container that answers like Istio's sidecar, on Istio's ports."""
    name = unique()
    docker("run", "--detach", "--name", name, "--network", "none", BASE_IMAGE, "python3", "-c", SIDECAR)
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def test_in_a_pod_the_image_needs_no_setting(image_of: ImageOf, sidecar: str) -> None:
    ended = run(image_of("job"), '{"payload": "hello"}', options=("--network", f"container:{sidecar}"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Received: hello\n", "")
    asked = docker("logs", sidecar).stdout.splitlines()
    assert [line for line in asked if line != "listening"] == [
        "15000 GET /server_info PRE_INITIALIZING",
        "15000 GET /server_info LIVE",
        "15020 POST /quitquitquit",
    ]

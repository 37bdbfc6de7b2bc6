"""Images of generated skills work without a mesh: no waiting, and no output but the job's."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator

import pytest

from fabric_jobs import runtime
from tests.docker_place import docker, needs_docker
from tests.scuttle.conftest import ImageOf
from tests.scuttle.images import HARDENED, OUTSIDE_A_MESH, SECONDS, run, unique
from tests.templates import shipped_templates

pytestmark = needs_docker

RUNTIME = ("--volume", f"{runtime.__path__[0]}:/opt/runtime:ro", "--env", "PYTHONPATH=/opt/runtime")


def variables_of(image: str) -> dict[str, str]:
    """Return the variables set in an image."""
    lines = json.loads(docker("image", "inspect", "--format", "{{json .Config.Env}}", image).stdout)
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_a_job_prints_its_response_and_nothing_else(image_of: ImageOf, network: str) -> None:
    options = ("--network", network)
    ended = run(image_of("job"), '{"payload": "hello"}', variables=OUTSIDE_A_MESH, options=options)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Received: hello\n", "")


def test_a_source_sends_its_records(image_of: ImageOf) -> None:
    ended = run(image_of("send-message"), '{"payload": {"count": 3}}', variables=OUTSIDE_A_MESH, options=RUNTIME)
    assert ended.returncode == 0, ended.stderr
    assert [json.loads(line)["number"] for line in ended.stdout.splitlines()] == [1, 2, 3]


def test_a_stream_reads_and_sends(image_of: ImageOf) -> None:
    records = '{"number": 1}\n{"number": 2}\n'
    message = '{"payload": null}'
    ended = run(image_of("stream"), message, variables=OUTSIDE_A_MESH, options=RUNTIME, stdin=records)
    assert ended.returncode == 0, ended.stderr
    assert [json.loads(line)["record"]["number"] for line in ended.stdout.splitlines()] == [1, 2]


@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_code_is_that_of_the_job(image_of: ImageOf, code: int) -> None:
    ended = run(image_of("probe"), json.dumps({"payload": {"code": code}}), variables=OUTSIDE_A_MESH)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "what the job prints\n", "what the job logs\n")


def test_the_wait_for_a_sidecar_that_is_not_there_has_an_end(image_of: ImageOf) -> None:
    ended = run(image_of("job"), '{"payload": "hello"}', variables={"WAIT_FOR_ENVOY_TIMEOUT": "1s"})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Received: hello\n", "")


@pytest.mark.parametrize("template", shipped_templates("job"))
def test_the_image_says_for_how_long_it_waits(image_of: ImageOf, template: str) -> None:
    variables = variables_of(image_of(template))
    assert (variables["WAIT_FOR_ENVOY_TIMEOUT"], variables["SCUTTLE_LOGGING"]) == ("30s", "false")


@pytest.fixture
def daemon(image_of: ImageOf) -> Iterator[str]:
    """Yield the address of a running daemon."""
    name = unique()
    command = ("python", "-m", "uvicorn", "main:app", "--port", "5000")
    options = ("--detach", "--publish", "127.0.0.1::5000", "--name", name, *HARDENED)
    docker("run", *options, image_of("daemon"), *command)
    try:
        yield "http://" + docker("port", name, "5000/tcp").stdout.split()[0]
    finally:
        docker("rm", "--force", name)


def test_a_daemon_has_no_scuttle_and_answers(image_of: ImageOf, daemon: str) -> None:
    assert not variables_of(image_of("daemon")).keys() & {"ENVOY_ADMIN_API", "ISTIO_QUIT_API", "SCUTTLE_LOGGING"}
    assert answer_of(f"{daemon}/healthz") == {"status": "ok"}
    assert answer_of(f"{daemon}/invoke", {"payload": [1, 2]}) == {"payload": [1, 2]}


def answer_of(address: str, message: object = None) -> object:
    """Return the answer of a daemon, which may still be starting."""
    request = urllib.request.Request(address, headers={"Content-Type": "application/json"})
    if message is not None:
        request.data = json.dumps(message).encode()
    end = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)

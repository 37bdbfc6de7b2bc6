"""Jobs in containers whose images have cortex-python, as Fabric's templates make them."""

from __future__ import annotations

from tests.clients.programs import job
from tests.docker.live import LABEL, DockerLive
from tests.docker.live import docker_live as docker_live
from tests.docker.live import images as images
from tests.docker_place import needs_docker

pytestmark = needs_docker
VERSION = "6.3.3"
# What is installed comes before what differs from test to test, so that the engine keeps it.
DOCKERFILE = f"""\
ARG BASE_IMAGE
FROM ${{BASE_IMAGE}}
RUN pip install --quiet cortex-python=={VERSION}
LABEL {LABEL}
WORKDIR /app
ADD . /app
"""
SENDS = """
for number in range(params["payload"]):
    skills.send_message(params["activationId"], params["channelId"], "response", {"number": number})
"""


def test_send_message(live: DockerLive) -> None:
    live.skill("sends", job(VERSION, SENDS), prelude="")
    (live.root / "skills/sends/actions/sends/Dockerfile").write_text(DOCKERFILE)
    assert live.invoke("sends", 2)["response"] == [{"number": 0}, {"number": 1}]

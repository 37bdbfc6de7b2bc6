"""Containers reach the gateway at an address of this machine, which its other users reach too."""

from __future__ import annotations

import json

from tests.acceptance.live import Live, until
from tests.docker_place import needs_docker
from tests.gateway.other_user import SOMEBODY, as_user, needs_another_user
from tests.gateway.test_jobs import HOLD
from tests.gateway.test_tokens import SPEAK

pytestmark = needs_docker


@needs_another_user
def test_a_token_of_a_container_is_of_no_use_to_another_user(live: Live) -> None:
    live.skill("held", HOLD, receives="stream")
    gate = live.gate("gate")
    activation = live.detach("held", 1)
    file = live.root / f"message-{activation}"
    until(file.exists, "the job runs")
    message = json.loads(file.read_text())
    url = f"{message['apiEndpoint']}/internal/messages/{activation}/{message['channelId']}/response"
    assert url.startswith(live.gateway_inside)
    assert as_user(SOMEBODY, SPEAK, url, message["token"], '"forged"').stdout.startswith("401 ")
    live.release(gate)
    assert live.wait(activation)["response"] is None

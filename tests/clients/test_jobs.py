"""Jobs that use cortex-python, unmodified."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.live import Live
from tests.clients.programs import job

SEND = """
for number in range(params["payload"]):
    said = skills.send_message(params["activationId"], params["channelId"], "response", {"number": number})
print("not sent")
"""
REFUSED = """
try:
    skills.send_message(params["activationId"], params["channelId"], "no output", 1)
except Exception as error:
    print(error)
"""


def test_send_message(live: Live, version: str, python: Path) -> None:
    live.skill("sends", job(version, SEND), prelude="", command=[str(python), "main.py"])
    live.skill("doubles", "print(message()['payload']['number'] * 2, end='')", warm=True)
    live.agent("both", ("input", "sends"), ("sends", "doubles"), ("doubles", "output"))
    assert sorted(live.invoke("both", 3, kind="agents")["response"]) == ["0", "2", "4"]
    assert live.invoke("sends", 1)["response"] == {"number": 0}


def test_a_refused_message_raises_what_programs_catch(live: Live, version: str, python: Path) -> None:
    live.skill("sends", job(version, REFUSED), prelude="", command=[str(python), "main.py"])
    said = live.invoke("sends")["response"]
    assert said.startswith("Send message failed 400: {")
    assert json.loads(said.partition(": ")[2])["success"] is False

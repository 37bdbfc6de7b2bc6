"""Jobs that use cortex-python, unmodified."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.live import PROJECT, Live
from tests.clients.programs import job
from tests.gateway.test_users import Caller

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

CONTENT = {
    "6.3.3": """
content = client.content
content.upload_streaming("seen/by/jobs", io.BytesIO(b"some bytes"))
print(content.download("given").read().decode(), content.exists("seen/by/jobs"), end="")
""",
    "6.1.0": """
content = ManagedContentClient(client)
content.upload_streaming("seen/by/jobs", "local", io.BytesIO(b"some bytes"), "text/plain")
print(content.download("given", "local").read().decode(), content.exists("seen/by/jobs", "local"), end="")
""",
}
INVOKE = {
    "6.3.3": 'print(skills.invoke("team/echoes", "request", params["payload"], {}, sync=True)["response"], end="")',
    "6.1.0": 'print(skills.invoke("local", "team/echoes", "request", params["payload"], {})["success"], end="")',
}
ADMIN = """
skill = skills.get_skill("team/echoes")
skills.save_skill({**skill, "title": "another"})
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


def test_content_of_the_project(live: Live, version: str, python: Path) -> None:
    live.skill("uses", job(version, CONTENT[version]), prelude="", command=[str(python), "main.py"])
    Caller(live).call("POST", f"{PROJECT}/content/given", b"given")
    assert live.invoke("uses")["response"] == "given True"
    assert Caller(live).call("GET", f"{PROJECT}/content/seen/by/jobs").body == b"some bytes"


def test_a_job_invokes_another_skill(live: Live, version: str, python: Path) -> None:
    live.skill("team/echoes", "print(message()['payload'], end='')")
    live.skill("invokes", job(version, INVOKE[version]), prelude="", command=[str(python), "main.py"])
    live.invoke("team/echoes")
    assert live.invoke("invokes", 5)["response"] == ("5" if version == "6.3.3" else "True")


def test_a_job_may_not_change_definitions(live: Live, version: str, python: Path) -> None:
    live.skill("team/echoes", "print(message()['payload'], end='')")
    live.skill("changes", job(version, ADMIN), prelude="", command=[str(python), "main.py"])
    live.invoke("team/echoes")
    record, _ = live.fail("changes")
    assert "403 Client Error" in "".join(record["error"]["lastLines"])

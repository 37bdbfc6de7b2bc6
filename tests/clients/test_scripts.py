"""Scripts with cortex-python, unmodified, outside any job: they have a personal token, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live
from tests.clients.personal import configured, run, token_file, value
from tests.clients.programs import script
from tests.gateway.test_users import skill

ECHO = "print(json.dumps(message()['payload']), end='')"
SKILLS = {
    "6.3.3": """
skills = client.skills
found = {
    "saved": skills.save_skill(given)["success"],
    "shown": skills.get_skill("team/plain")["name"],
    "listed": [[each["name"], each["deployStatus"]] for each in skills.list_skills()],
    "deployed": [skills.deploy("team/plain")["success"], skills.undeploy("team/plain")["success"]],
    "response": skills.invoke("echo", "request", {"n": 1}, {}, sync=True)["response"],
    "started": skills.invoke("team/echoes", "request", 2, {})["success"],
    "logs": skills.get_logs("echo", "echo")["logs"],
    "deleted": skills.delete_skill("team/plain"),
}
""",
    "6.1.0": """
skills = SkillClient(client)
found = {
    "saved": skills.save_skill(given)["success"],
    "shown": skills.get_skill("team/plain")["name"],
    "listed": [[each["name"], each["deployStatus"]] for each in skills.list_skills()],
    "deployed": [skills.deploy("team/plain")["success"], skills.undeploy("team/plain")["success"]],
    "response": '{"n": 1}' if skills.invoke("local", "echo", "request", {"n": 1}, {})["success"] else None,
    "started": skills.invoke("local", "team/echoes", "request", 2, {})["success"],
    "logs": skills.get_logs("echo", "echo")["logs"],
    "deleted": skills.delete_skill("team/plain"),
}
""",
}
CONTENT = {
    "6.3.3": """
content = client.content
content.upload("a/b.txt", "b.txt", io.BytesIO(b"one"), "text/plain")
content.upload_streaming("/a/c d.txt", io.BytesIO(b"two" * 100_000))
content.upload_directory(given, "from/here")
found = {
    "exists": [content.exists("a/b.txt"), content.exists("a/none")],
    "bytes": [content.download("a/b.txt").read().decode(), len(content.download("a/c d.txt").read())],
    "all": [[each["Key"], each["Size"]] for each in content.list()],
    "some": [each["Key"] for each in content.list("a/", limit=1, skip=1)],
    "deleted": content.delete("a/b.txt")["success"],
    "left": [each["Key"] for each in content.list("a/")],
}
""",
    "6.1.0": """
content = ManagedContentClient(client)
content.upload("a/b.txt", "local", "b.txt", io.BytesIO(b"one"), "text/plain")
content.upload_streaming("/a/c d.txt", "local", io.BytesIO(b"two" * 100_000), "application/octet-stream")
content.upload_directory(given, "from/here", "local")
listed = client.to_connector().request("GET", "projects/local/content").json()
found = {
    "exists": [content.exists("a/b.txt", "local"), content.exists("a/none", "local")],
    "bytes": [content.download("a/b.txt", "local").read().decode(), len(content.download("a/c d.txt", "local").read())],
    "all": [[each["Key"], each["Size"]] for each in listed],
    "some": ["a/c d.txt"],
    "deleted": content.delete("a/b.txt", "local")["success"],
    "left": [each["Key"] for each in client.to_connector().request("GET", "projects/local/content?filter=a/").json()],
}
""",
}


class Script:
    """Runs scripts with one version of cortex-python and a personal token."""

    def __init__(self, live: Live, version: str, python: Path) -> None:
        self._live, self._version, self._python = live, version, python
        self.token = token_file(live, "anna", role="admin")

    def __call__(self, rest: str, given: object = None, **variables: str) -> Any:
        """Return what a script has found."""
        known = {"CORTEX_PERSONAL_ACCESS_CONFIG": self.token.read_text(), "CORTEX_PROJECT": "local"}
        return value(self.run(script(self._version, rest), given, **(variables or known)))

    def run(self, text: str, given: object = None, **variables: str) -> Any:
        """Run a script to its end."""
        return run(self._live, [self._python, "-c", text, json.dumps(given)], **variables)


@pytest.fixture
def cortex(live: Live, version: str, python: Path) -> Script:
    """Scripts with each version."""
    return Script(live, version, python)


def test_skills(live: Live, version: str, cortex: Script) -> None:
    live.skill("echo", ECHO)
    live.skill("team/echoes", ECHO)
    for name in ("echo", "team/echoes"):
        live.invoke(name)
    found = cortex(SKILLS[version], skill("team/plain"))
    assert isinstance(found.pop("logs"), str)  # of the newest task, which may not have said anything yet
    assert json.loads(found.pop("response")) == {"n": 1}
    listed = [[name, "DEPLOYED"] for name in ("echo", "team/echoes", "team/plain")]
    assert found == {
        "saved": True,
        "shown": "team/plain",
        "listed": listed,
        "deployed": [True, True],
        "started": True,
        "deleted": True,
    }


def test_content(live: Live, version: str, cortex: Script) -> None:
    files = live.root.parent / "files"
    (files / "sub").mkdir(parents=True)
    (files / "sub" / "x.bin").write_bytes(b"xyz")
    found = cortex(CONTENT[version], str(files))
    assert found == {
        "exists": [True, False],
        "bytes": ["one", 300_000],
        "all": [["a/b.txt", 3], ["a/c d.txt", 300_000], ["from/here/sub/x.bin", 3]],
        "some": ["a/c d.txt"],
        "deleted": True,
        "left": ["a/c d.txt"],
    }


def test_the_configuration_of_the_command_is_enough(live: Live, cortex: Script) -> None:
    configured(live, cortex.token)
    assert cortex("found = client._project", CORTEX_URL="") == "local"


REFUSED = """
try:
    found = client.to_connector().request("GET", "projects/local/skills").status_code
except Exception as error:
    found = [type(error).__name__, str(error)]
"""


def test_a_revoked_token_is_refused(live: Live, cortex: Script) -> None:
    assert cortex(REFUSED) == 200
    live.ok("tokens", "revoke", "anna")
    assert cortex(REFUSED) == 401

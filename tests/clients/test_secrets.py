"""Secrets through cortex-python, unmodified, inside of jobs."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.live import Live
from tests.clients.programs import job

VALUE = "hunter2-correct-horse"
# In version 6.1 the function stands beside its client.
GET = {
    "6.3.3": "print(client.secrets.get_secret(name)['value'] == params['properties']['key'], end='')",
    "6.1.0": """
from cortex.secrets import Secret, SecretsClient
print(Secret.get_secret(name, params["projectId"], SecretsClient(client))["value"] == params["properties"]["key"], end="")
""",
}


def test_a_job_gets_a_secret_by_its_message_and_by_asking(live: Live, version: str, python: Path) -> None:
    live.ok("secrets", "set", "shop/api-key", stdin=VALUE)
    live.skill(
        "asks", job(version, f"name = 'shop/api-key'\n{GET[version]}"), prelude="", command=[str(python), "main.py"]
    )
    live.agent("asking", ("input", "asks"), ("asks", "output"), properties={"key": "#SECURE.shop/api-key"})
    assert live.invoke("asking", kind="agents")["response"] == "True"

"""Programs as authors of Fabric wrote them: they know cortex-python, and nothing of this product."""

from __future__ import annotations

# Version 6.1 has no client of clients: a program makes the one that it needs.
SKILLS = {"6.3.3": "client.skills", "6.1.0": "SkillClient(client)"}
BEGINNING = """\
import json, sys
from cortex import Cortex
from cortex.skill import SkillClient

params = json.loads(sys.argv[-1])
client = Cortex.from_message(params)
"""


def job(version: str, rest: str) -> str:
    """Return a job's program; `skills` in it is the client for skills."""
    return f"{BEGINNING}skills = {SKILLS[version]}\n{rest}"

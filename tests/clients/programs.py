"""Programs as authors of Fabric wrote them: they know cortex-python, and nothing of this product."""

from __future__ import annotations

# Version 6.1 has no client of clients: a program makes the one that it needs.
SKILLS = {"6.3.3": "client.skills", "6.1.0": "SkillClient(client)"}
BEGINNING = """\
import io, json, sys
from cortex import Cortex
from cortex.content import ManagedContentClient
from cortex.skill import SkillClient

params = json.loads(sys.argv[-1])
client = Cortex.from_message(params)
"""


def job(version: str, rest: str) -> str:
    """Return a job's program; `skills` in it is the client for skills."""
    return f"{BEGINNING}skills = {SKILLS[version]}\n{rest}"


# Scripts outside a job, by version. Each prints one JSON value. `document` and `workspace` are arguments of the test.
OUTSIDE = """\
import io, json, sys
from cortex import Cortex
{imports}
given = json.loads(sys.argv[1])
client = Cortex.client({options})
{rest}
print(json.dumps(found))
"""
IMPORTS = {
    "6.3.3": "from cortex.experiment.remote import Experiment",
    "6.1.0": """\
from cortex.content import ManagedContentClient
from cortex.model import ModelClient
from cortex.skill import SkillClient""",
}


def script(version: str, rest: str, options: str = "") -> str:
    """Return a script that a person runs on another machine; `given` in it is its argument."""
    return OUTSIDE.format(imports=IMPORTS[version], options=options, rest=rest)

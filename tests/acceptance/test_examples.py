"""The small example agents are correct, match their README, and refer to the schemas."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs import shipped
from fabric_jobs.workspace.example import copy_example
from tests.acceptance.live import Live

EXAMPLES = shipped.examples_dir() / "examples"
AGENTS = sorted(path.stem for path in EXAMPLES.glob("agents/*.yaml"))
README = (EXAMPLES / "README.md").read_text()


@pytest.fixture
def examples(tmp_path: Path) -> Iterator[Live]:
    """A copy of the examples."""
    copied = Live(copy_example("examples", tmp_path / "examples"))
    try:
        yield copied
    finally:
        copied.close()


def test_every_message_has_an_expectation_and_comes_to_it(examples: Live) -> None:
    assert examples.ok("workspaces", "lint").err == "No problems found.\n"
    for kind in ("skills", "agents"):
        results = examples.ok(kind, "test", "-o", "json").value
        assert {result["status"] for result in results} == {"passed"}
        pattern = "skills/*/skill.yaml" if kind == "skills" else "agents/*.yaml"
        assert len({result["name"] for result in results}) == len(list(EXAMPLES.glob(pattern)))


def test_the_commands_of_the_readme_do_what_it_says(examples: Live) -> None:
    commands = [shlex.split(line)[1:] for line in README.splitlines() if line.startswith("fabric-jobs agents invoke")]
    assert sorted(command[2] for command in commands) == AGENTS
    codes = {command[2]: examples.run(*command).code for command in commands}
    assert codes == {agent: int(agent == "dead-letters") for agent in AGENTS}
    (letter,) = examples.ok("deadletters", "list", "-o", "json").value
    orders = examples.ok("activations", "response", letter["activationId"]).out
    assert orders == '{"amount":3,"what":"apples"}\n{"amount":1,"what":"melon"}\n'


def test_every_agent_is_listed_and_every_definition_leads_to_its_schema() -> None:
    page = (Path(__file__).parents[2] / "docs/howto/examples.md").read_text()
    for agent in AGENTS:
        assert f"`{agent}`" in README
        assert f"`{agent}`" in page
    for path in (*EXAMPLES.glob("skills/*/skill.yaml"), *EXAMPLES.glob("agents/*.yaml")):
        found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
        assert found is not None
        assert (path.parent / found[1]).resolve().parent == shipped.PACKAGE / "schemas"

"""`fabric-jobs workspaces …`, as users type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fabric_jobs import shipped
from fabric_jobs.cli import workspaces
from fabric_jobs.errors import AlreadyExists, FabricJobsError, InvalidInput, NotFound
from fabric_jobs.workspace.example import copy_example

TREE = """\
├─ docs
│  └─ word-count
│     └─ README.md
└─ skills
   └─ word-count
      ├─ actions
      │  └─ word-count
      │     ├─ Dockerfile
      │     ├─ main.py
      │     └─ requirements.txt
      ├─ invoke
      │  └─ request
      │     └─ message.json
      └─ skill.yaml
"""
INVOKE = "fabric-jobs skills invoke word-count --params-file skills/word-count/invoke/request/message.json\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty directory the current one, and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*arguments: str, answers: str | None = None) -> Result:
    """Run a command. The package's errors come out as exceptions, which the top-level command would print."""
    result = CliRunner().invoke(workspaces.group, arguments, input=answers)
    assert result.exception is None or isinstance(result.exception, (SystemExit, FabricJobsError))
    return result


def refused(error: type[FabricJobsError], *arguments: str) -> FabricJobsError:
    exception = typed(*arguments).exception
    assert type(exception) is error
    return exception


# -- generate ----------------------------------------------------------------------------------------


def test_generate_prints_the_tree_and_the_next_command(here: Path) -> None:
    result = typed("generate", "word-count")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f".\n{TREE}\nNext:\n  {INVOKE}"
    assert (here / "skills/word-count/skill.yaml").is_file()


def test_generate_elsewhere_says_where_to_go(here: Path) -> None:
    result = typed("generate", "word-count", "my workspace", "--template", "stream")
    assert result.stdout == f"my workspace\n{TREE}\nNext:\n  cd 'my workspace'\n  {INVOKE}"
    assert "receives: stream" in (here / "my workspace/skills/word-count/skill.yaml").read_text()


def test_generate_without_the_tree() -> None:
    assert typed("generate", "word-count", "--notree").stdout == f"Next:\n  {INVOKE}"


def test_the_templates_are_listed_and_nothing_is_made(here: Path) -> None:
    result = typed("generate", "--list-templates")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "batch-api",
        "daemon",
        "external-api",
        "job",
        "send-message",
        "stream",
        "task-api",
    ]
    assert list(here.iterdir()) == []


def test_without_a_name_and_a_terminal_it_is_a_usage_error(here: Path) -> None:
    result = typed("generate", "--template", "job", answers="word-count\n")
    assert result.exit_code == 2
    assert "Missing argument 'NAME'" in result.stderr
    assert list(here.iterdir()) == []


def test_on_a_terminal_it_asks_until_the_answers_are_right(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "can_ask", lambda: True)
    result = typed("generate", answers="1st\nword-count\nstraem\nstream\n")
    assert result.exit_code == 0
    assert result.stdout == f".\n{TREE}\nNext:\n  {INVOKE}"  # questions go to stderr
    assert "'1st' is not a valid name of a skill" in result.stderr
    assert "'straem' is not one of" in result.stderr
    assert "receives: stream" in (here / "skills/word-count/skill.yaml").read_text()


def test_on_a_terminal_the_default_template_is_job(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "can_ask", lambda: True)
    assert typed("generate", answers="word-count\n\n").exit_code == 0
    assert "Received" in (here / "skills/word-count/actions/word-count/main.py").read_text()


def test_a_given_template_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "can_ask", lambda: True)
    result = typed("generate", "--template", "job", answers="word-count\n")
    assert result.exit_code == 0
    assert "Template" not in result.stderr


def test_an_end_of_the_answers_makes_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "can_ask", lambda: True)
    assert typed("generate", answers="word-count\n").exit_code == 1
    assert list(here.iterdir()) == []


def test_mistakes_are_the_errors_of_the_package(here: Path) -> None:
    refused(InvalidInput, "generate", "1st")
    assert refused(NotFound, "generate", "word-count", "--template", "jop").hint == "Did you mean 'job'?"
    assert list(here.iterdir()) == []
    assert typed("generate", "word-count").exit_code == 0
    refused(AlreadyExists, "generate", "Word-Count", "--template", "stream")
    (here / "file").write_text("")
    refused(InvalidInput, "generate", "word-count", "file")


def test_a_template_from_elsewhere_is_listed_and_used_with_trust(here: Path) -> None:
    shutil.copytree(shipped.templates_dir() / "job", here / "my templates/etl")
    hook = here / "my templates/etl/hooks/post_gen_project.py"
    hook.parent.mkdir()
    hook.write_text("print('talk')")
    listed = typed("generate", "--list-templates", "--template", "./my templates")
    assert listed.stdout == (
        "etl  Job: Takes one message, prints its answer, ends.\n     runs hooks/post_gen_project.py\n"
    )
    command = "fabric-jobs workspaces generate NAME --template './my templates/etl' --trust"
    assert listed.stderr == f"\nNext:\n  {command}\n"
    refused(InvalidInput, "generate", "word-count", "--template", "./my templates/etl")
    assert not (here / "skills").exists()
    result = typed("generate", "word-count", "--template", "./my templates/etl", "--trust")
    assert (result.exit_code, result.stdout) == (0, f".\n{TREE}\nNext:\n  {INVOKE}")


# -- generate-agent ----------------------------------------------------------------------------------


def test_generate_agent_prints_the_file_and_the_next_command(here: Path) -> None:
    typed("generate", "source", "--template", "send-message")
    typed("generate", "stream", "--template", "stream")
    result = typed("generate-agent", "both", "source", "stream")
    assert (result.exit_code, result.stderr) == (0, "")
    command = "fabric-jobs agents invoke both --params-file skills/source/invoke/request/message.json"
    assert result.stdout == f"{here}\n└─ agents\n   └─ both.yaml\n\nNext:\n  {command}\n"
    assert typed("lint").exit_code == 0


def test_generate_agent_finds_the_workspace_upwards(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed("generate", "source")
    monkeypatch.chdir(here / "skills/source")
    result = typed("generate-agent", "alone", "source")
    assert f"Next:\n  cd {here}\n  fabric-jobs agents invoke alone " in result.stdout
    assert (here / "agents/alone.yaml").is_file()


def test_generate_agent_takes_a_workspace(here: Path) -> None:
    typed("generate", "source", "space")
    assert typed("generate-agent", "alone", "source", "--workspace", "space").exit_code == 0
    assert (here / "space/agents/alone.yaml").is_file()


def test_generate_agent_needs_skills_and_a_workspace() -> None:
    assert typed("generate-agent", "alone").exit_code == 2
    refused(NotFound, "generate-agent", "alone", "source")
    typed("generate", "source")
    assert "Did you mean 'source'?" in refused(NotFound, "generate-agent", "alone", "sauce").hint


# -- lint --------------------------------------------------------------------------------------------


def test_the_example_and_every_template_pass(here: Path) -> None:
    copy_example("flights", here)
    for template in ("job", "send-message", "stream"):
        typed("generate", f"my-{template}", "--template", template)
    result = typed("lint")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No problems found.\n")


def test_each_error_is_a_line_with_its_place_and_the_exit_code_is_4(here: Path) -> None:
    typed("generate", "word-count")
    definition = here / "skills/word-count/skill.yaml"
    definition.write_text(definition.read_text().replace("output: response", "output: respnse"))
    result = typed("lint")
    assert result.exit_code == 4
    (line,) = result.stdout.splitlines()
    assert line.startswith("skills/word-count/skill.yaml:17:17: error: ")
    assert result.stderr == "1 error, 0 warnings\n"


def test_the_list_can_be_json(here: Path) -> None:
    typed("generate", "word-count", "space")
    (here / "space/skills/word-count/skill.yaml").write_text("name: word-count\ncolour: red\n")
    result = typed("lint", "--workspace", "space", "--output", "json")
    assert result.exit_code == 4
    problems = json.loads(result.stdout)
    assert {"file", "line", "column", "path", "message", "level"} == set(problems[0])
    assert "space/skills/word-count/skill.yaml" in {problem["file"] for problem in problems}


def test_warnings_alone_are_no_failure(here: Path) -> None:
    copy_example("flights", here)
    agent = here / "agents/flights.yaml"
    agent.write_text(agent.read_text().replace("{from: input, to:", "{rules: [{}], from: input, to:"))
    result = typed("lint")
    assert result.exit_code == 0
    assert ": warning: " in result.stdout
    assert result.stderr == "0 errors, 1 warning\n"


def test_without_a_workspace_there_is_nothing_to_check() -> None:
    refused(NotFound, "lint")
    refused(NotFound, "lint", "--workspace", "nowhere")


@pytest.mark.parametrize("command", ["generate", "generate-agent", "lint"])
def test_the_help_has_examples(command: str) -> None:
    result = typed(command, "--help")
    assert result.exit_code == 0
    assert f"  fabric-jobs workspaces {command}" in result.stdout

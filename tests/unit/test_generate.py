"""`generate` and `generate-agent`: what they write, what they refuse, and the next command that they suggest."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs import shipped
from fabric_jobs.definitions import Mapping
from fabric_jobs.documents import agent_of, parse_agent, parse_skill
from fabric_jobs.errors import AlreadyExists, InvalidDefinition, InvalidInput, NotFound
from fabric_jobs.workspace.generate import generate_agent, generate_skill, reference_ids
from fabric_jobs.workspace.tree import Workspace, read_file


def skill_text(name: str, *, port: str = "request", output: str = "response") -> str:
    return f"""
camel: 1.0.0
name: "{name}"
inputs:
  - name: {port}
    routing: {{all: {{action: work, runtime: cortex/jobs, output: {output}}}}}
outputs:
  - name: {output}
actions:
  - {{name: work, type: job, image: work}}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace with the skills source, sink and clean, whose ports have different names."""
    ports = {"source": ("request", "lines"), "clean": ("dirty", "pure"), "sink": ("request", "response")}
    for name, (port, output) in ports.items():
        directory = tmp_path / "skills" / name
        directory.mkdir(parents=True)
        (directory / "skill.yaml").write_text(skill_text(name, port=port, output=output))
    return tmp_path


def wires(path: Path) -> list[str]:
    agent, warnings = parse_agent(path.read_text(), str(path))
    assert warnings == ()
    return [_wire(mapping) for mapping in agent.mappings]


def _wire(mapping: Mapping) -> str:
    return f"{mapping.source} > {mapping.target}"


# -- skills ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["job", "send-message", "stream"])
def test_a_generated_skill_is_a_valid_definition_without_warnings(template: str, tmp_path: Path) -> None:
    generated = generate_skill("word-count", tmp_path, template)
    path = tmp_path / "skills/word-count/skill.yaml"
    skill, warnings = parse_skill(path.read_text(), str(path))
    assert (skill.name, warnings) == ("word-count", ())
    assert (len(generated.paths), generated.root) == (6, tmp_path)
    assert generated.next_command == (
        "fabric-jobs skills invoke word-count --params-file skills/word-count/invoke/request/message.json"
    )


def test_the_destination_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generated = generate_skill("word-count", Path("new/workspace"), "job")
    assert generated.paths[0] == Path("new/workspace/docs/word-count/README.md")
    assert all(path.is_file() for path in generated.paths)


@pytest.mark.parametrize(
    "name", ["", "a", "1st", "-a", "a-", "a b", "a/b", "../up", "a.b", "{{ 7 }}", "é1", "a\n", "a" * 64]
)
def test_a_name_is_checked_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a valid name of a skill"):
        generate_skill(name, tmp_path / "new", "job")
    with pytest.raises(InvalidInput, match="is not a valid name of a"):
        generate_agent(name, ("x",), tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- agents ------------------------------------------------------------------------------------------


def test_a_chain_of_three_is_a_dozen_lines(workspace: Path) -> None:
    generated = generate_agent("tidy", ("source", "clean", "sink"), workspace)
    assert generated.paths == (workspace / "agents/tidy.yaml",)
    assert generated.paths[0].read_text().splitlines() == [
        f"# yaml-language-server: $schema={shipped.schema_address('agent')}",
        "camel: 1.0.0",
        "name: tidy",
        "skills:",
        "  - skillName: source",
        "  - skillName: clean",
        "  - skillName: sink",
        "mappings:",
        "  - {from: input, to: source.request}",
        "  - {from: source.lines, to: clean.dirty}",
        "  - {from: clean.pure, to: sink.request}",
        "  - {from: sink.response, to: output}",
    ]


def test_the_generated_agent_loads_with_its_skills(workspace: Path) -> None:
    generate_agent("tidy", ("source", "sink"), workspace)
    loaded = Workspace(root=workspace).agent("tidy")
    assert [file.skill.name for file in loaded.skills] == ["source", "sink"]
    assert agent_of(read_file(loaded.path))[1] == ()  # no warnings


def test_a_skill_that_comes_twice_gets_a_number(workspace: Path) -> None:
    generated = generate_agent("twice", ("clean", "clean"), workspace)
    assert wires(generated.paths[0]) == [
        "input input > clean.dirty",
        "clean.pure > clean-2.dirty",
        "clean-2.pure > output output",
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a1", "b1"), ("a1", "b1")),
        (("a1", "a1", "a1"), ("a1", "a1-2", "a1-3")),
        (("a1", "a1", "a1-2"), ("a1", "a1-3", "a1-2")),
        (("input", "output"), ("input-2", "output-2")),
        (("v1.2", "v1-2"), ("v1-2", "v1-2-2")),
    ],
)
def test_reference_ids_differ_and_can_be_read_in_one_way(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert reference_ids(names) == expected


@pytest.mark.parametrize("names", [("input", "output"), ("null", "true", "on"), ("cortex/job", "v1.2", "v1")])
def test_awkward_names_can_be_chained(names: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(names):
        directory = tmp_path / "skills" / str(number)
        directory.mkdir(parents=True)
        (directory / "skill.yaml").write_text(skill_text(name))
    generated = generate_agent("on", names, tmp_path)
    agent, _ = parse_agent(generated.paths[0].read_text(), "on.yaml")
    assert (agent.name, tuple(reference.skill_name for reference in agent.skills)) == ("on", names)
    assert len(agent.mappings) == len(names) + 1


def test_the_next_command_takes_the_message_of_the_first_skill(tmp_path: Path) -> None:
    generate_skill("first", tmp_path, "send-message")
    generate_skill("second", tmp_path, "stream")
    command = generate_agent("both", ("first", "second"), tmp_path).next_command
    assert command == "fabric-jobs agents invoke both --params-file skills/first/invoke/request/message.json"


def test_without_a_message_the_next_command_has_an_empty_payload(workspace: Path) -> None:
    command = generate_agent("tidy", ("source",), workspace).next_command
    assert command == "fabric-jobs agents invoke tidy --payload '{}'"


def test_an_unknown_skill_is_answered_with_the_nearest(workspace: Path) -> None:
    with pytest.raises(NotFound, match="there is no skill 'claen'") as caught:
        generate_agent("tidy", ("source", "claen"), workspace)
    assert "Did you mean 'clean'?" in caught.value.hint
    assert not (workspace / "agents").exists()


def test_an_agent_without_skills_is_refused(workspace: Path) -> None:
    with pytest.raises(InvalidInput, match="needs at least one skill"):
        generate_agent("tidy", (), workspace)


def test_a_skill_without_inputs_cannot_be_chained(workspace: Path) -> None:
    (workspace / "skills/clean/skill.yaml").write_text("camel: 1.0.0\nname: clean\ninputs: []\n")
    with pytest.raises(InvalidInput):
        generate_agent("tidy", ("clean",), workspace)
    assert not (workspace / "agents").exists()


def test_a_broken_skill_is_reported_with_its_place(workspace: Path) -> None:
    (workspace / "skills/clean/skill.yaml").write_text("name: clean\ninputs: [\n")
    with pytest.raises(InvalidDefinition, match=r"skills/clean/skill\.yaml:\d+"):
        generate_agent("tidy", ("clean",), workspace)
    assert not (workspace / "agents").exists()


@pytest.mark.parametrize("present", ["tidy.yaml", "Tidy.yml", "tidy.json", "TIDY/agent.yaml"])
def test_an_existing_agent_is_never_overwritten(present: str, workspace: Path) -> None:
    path = workspace / "agents" / present
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(AlreadyExists, match="is never overwritten"):
        generate_agent("tidy", ("clean",), workspace)
    assert [file for file in (workspace / "agents").rglob("*") if file.is_file()] == [path]
    assert path.read_text() == "mine"


def test_a_note_of_the_same_name_is_no_agent(workspace: Path) -> None:
    (workspace / "agents").mkdir()
    (workspace / "agents/tidy.md").write_text("notes")
    assert generate_agent("tidy", ("clean",), workspace).paths[0].is_file()

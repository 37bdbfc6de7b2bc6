"""Finding the root of a workspace, and loading its definitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.documents import Document
from fabric_jobs.errors import InvalidDefinition, NotFound
from fabric_jobs.workspace import tree
from fabric_jobs.workspace.root import find_root
from fabric_jobs.workspace.tree import Workspace


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def paths(root: Path, found: tuple[Path, ...]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


@pytest.mark.parametrize("mark", ["skills", ".fabric-jobs"])
def test_the_root_is_the_nearest_directory_upwards(tmp_path: Path, mark: str) -> None:
    (tmp_path / "skills").mkdir()
    (tmp_path / "inner" / mark).mkdir(parents=True)
    deep = tmp_path / "inner" / "a" / "b"
    deep.mkdir(parents=True)
    assert find_root(deep, None) == tmp_path / "inner"


def test_a_given_root_wins_and_has_to_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "skills").mkdir()
    given = tmp_path / "other"
    with pytest.raises(NotFound, match=r"other is not a directory\.") as caught:
        find_root(tmp_path, given)
    assert caught.value.hint
    given.mkdir()
    assert find_root(tmp_path, given) == given


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    assert find_root(Path(), Path("w")) == tmp_path / "w"


def test_no_workspace_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "skills").write_text("a file is no skills directory")
    with pytest.raises(NotFound) as caught:
        find_root(tmp_path, None)
    assert f"{tmp_path} is not in a workspace" in str(caught.value)
    assert "--workspace" in caught.value.hint


def test_skills_lie_at_any_depth_and_links_do_not_loop(tmp_path: Path) -> None:
    for path in ("a", "group/deep/b", "a/inner", "a/actions/x", ".hidden"):
        write(tmp_path, f"skills/{path}/skill.yaml", "name: x")
    (tmp_path / "skills" / "group" / "loop").symlink_to(tmp_path / "skills")
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path, "elsewhere/c/skill.yaml", "name: c")
    (tmp_path / "skills" / "linked").symlink_to(tmp_path / "elsewhere")
    assert paths(tmp_path, Workspace(tmp_path).skill_paths()) == [
        "skills/a/inner/skill.yaml",
        "skills/a/skill.yaml",
        "skills/group/deep/b/skill.yaml",
        "skills/linked/c/skill.yaml",
    ]


def test_agents_lie_in_files_or_directories(tmp_path: Path) -> None:
    for path in ("b.yaml", "a.yml", "c.json", "README.md", "deep/er/agent.yaml", "deep/other.yaml", "agent.yaml"):
        write(tmp_path, f"agents/{path}", "name: x")
    assert paths(tmp_path, Workspace(tmp_path).agent_paths()) == [
        "agents/a.yml",
        "agents/agent.yaml",
        "agents/b.yaml",
        "agents/c.json",
        "agents/deep/er/agent.yaml",
    ]


def test_an_empty_directory_has_neither(tmp_path: Path) -> None:
    assert Workspace(tmp_path).skill_paths() == Workspace(tmp_path).agent_paths() == ()
    with pytest.raises(NotFound, match="The workspace has no skills"):
        Workspace(tmp_path).skill("a")


def test_a_skill_in_its_usual_place_is_the_only_file_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "skills/cortex/a/skill.yaml", "name: cortex/a\ncamel: 2.0.0")
    write(tmp_path, "skills/b/skill.yaml", "name: [broken")
    read: list[Path] = []
    original = tree.read_file

    def spy(path: Path) -> Document:
        read.append(path)
        return original(path)

    monkeypatch.setattr(tree, "read_file", spy)
    found = Workspace(tmp_path).skill("cortex/a")
    assert (found.skill.name, found.document, found.path) == ("cortex/a", {"name": "cortex/a", "camel": "2.0.0"}, path)
    assert found.directory == tmp_path / "skills" / "cortex" / "a"
    assert read == [path]


def test_a_skill_elsewhere_is_found_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, "skills/a/skill.yaml", "name: b")
    write(tmp_path, "skills/broken/skill.yaml", "name: [a")
    path = write(tmp_path, "skills/x/y/skill.yaml", "name: a")
    assert Workspace(tmp_path).skill("a").path == path


def test_an_unknown_skill_names_the_nearest_and_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "skills/a/skill.yaml", "name: word-count")
    write(tmp_path, "skills/b/skill.yaml", "name: [")
    for name in ("word-cont", "../a"):
        with pytest.raises(NotFound) as caught:
            Workspace(tmp_path).skill(name)
        assert f"there is no skill '{name}' in the workspace" in caught.value.message
        assert "These files cannot be read: skills/b/skill.yaml." in caught.value.hint
    with pytest.raises(NotFound, match=r"Did you mean 'word-count'\?"):
        Workspace(tmp_path).skill("word-cont")


@pytest.mark.parametrize("text", ["name: a\nactons: []", "title: a", "[", "a: 1\n- b"])
def test_a_broken_skill_in_its_usual_place_is_invalid(tmp_path: Path, text: str) -> None:
    write(tmp_path, "skills/a/skill.yaml", text)
    with pytest.raises(InvalidDefinition):
        Workspace(tmp_path).skill("a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: \xff", "the file cannot be read: it is not valid UTF-8 from byte 6"),
        (None, "the file cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "skill.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidDefinition) as caught:
        tree.read_file(path)
    assert message in str(caught.value)


def test_problems_name_files_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "skills/a/skill.yaml", "nam: a")
    with pytest.raises(InvalidDefinition) as caught:
        Workspace(tmp_path).skill("a")
    assert caught.value.problems[0].file == str(path)
    monkeypatch.chdir(tmp_path / "skills")
    with pytest.raises(InvalidDefinition) as caught:
        Workspace(tmp_path).skill("a")
    assert str(caught.value).startswith("a/skill.yaml:1:1: error: nam: unknown key 'nam'.")


def test_an_agent_comes_with_its_skills_each_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, f"skills/{name}/skill.yaml", f"name: {name}")
    uses = "skills: [{skillName: b}, {skillName: a}, {skillName: b, refId: again}]"
    write(tmp_path, "agents/other.yaml", "name: other")
    path = write(tmp_path, "agents/flow.yaml", f"name: flow\n{uses}")
    found = Workspace(tmp_path).agent("flow")
    assert (found.agent.name, found.path, found.document["name"]) == ("flow", path, "flow")
    assert [used.skill.name for used in found.skills] == ["b", "a"]


def test_an_agent_is_known_by_its_name_not_by_its_file(tmp_path: Path) -> None:
    write(tmp_path, "agents/flow.yaml", "name: other")
    path = write(tmp_path, "agents/deep/agent.yaml", "name: flow")
    assert Workspace(tmp_path).agent("flow").path == path
    with pytest.raises(NotFound, match=r"Did you mean 'other'\?"):
        Workspace(tmp_path).agent("othr")


def test_an_agent_without_one_of_its_skills_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "skills/score/skill.yaml", "name: score")
    write(tmp_path, "agents/flow.yaml", "name: flow\nskills: [{skillName: scor}]")
    with pytest.raises(NotFound) as caught:
        Workspace(tmp_path).agent("flow")
    assert caught.value.message.startswith("agents/flow.yaml: there is no skill 'scor'")
    assert caught.value.hint == "Did you mean 'score'?"


def test_a_broken_agent_is_invalid(tmp_path: Path) -> None:
    write(tmp_path, "agents/flow.yaml", "name: flow\nskils: []")
    with pytest.raises(InvalidDefinition):
        Workspace(tmp_path).agent("flow")


def test_an_agent_file_that_is_no_yaml_is_invalid_when_it_is_named_so(tmp_path: Path) -> None:
    write(tmp_path, "agents/flow.yaml", "name: flow\nskills: [")
    with pytest.raises(InvalidDefinition):
        Workspace(tmp_path).agent("flow")

"""API files of a workspace: found, listed, checked, registered, generated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fabric_jobs import shipped
from fabric_jobs.apis import BATCH, TASK
from fabric_jobs.documents import skill_from_json
from fabric_jobs.errors import InvalidDefinition, InvalidInput, NotFound
from fabric_jobs.workspace.build import plan
from fabric_jobs.workspace.generate import generate_agent, generate_skill
from fabric_jobs.workspace.images import images_of
from fabric_jobs.workspace.lint.problems import lint
from fabric_jobs.workspace.listing import listing
from fabric_jobs.workspace.root import find_root
from fabric_jobs.workspace.tree import Workspace

TWO = """\
- name: score
  kind: BatchAPI
  handler: {path: handler.py}
- name: train
  kind: TaskAPI
  definition: {path: task.py}
"""
POD = """\
- name: resize
  kind: BatchAPI
  pod:
    containers:
      - {name: api, image: example/resize, command: [python, main.py]}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str = "") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def project(text: str = TWO) -> None:
    """Write an API file with the files of its project."""
    write("skills/ml/cortex.yaml", text)
    write("skills/ml/handler.py", "class Handler: ...")
    write("skills/ml/task.py", "class Task: ...")


def found(root: Path) -> list[str]:
    return [str(problem) for problem in lint(Workspace(root))]


# -- found and listed --------------------------------------------------------------------------------


def test_each_api_of_a_file_is_a_skill_with_the_project_as_its_directory(root: Path) -> None:
    project()
    workspace = Workspace(root)
    assert [file.skill.name for file in workspace.skills()] == ["score", "train"]
    train = workspace.skill("train")
    assert (train.path, train.directory, train.is_api) == (root / "skills/ml/cortex.yaml", root / "skills/ml", True)
    assert train.document == {
        "name": "train",
        "api": {"name": "train", "kind": TASK, "definition": {"path": "task.py"}},
    }
    assert skill_from_json(json.loads(json.dumps(train.document))) == train.skill


def test_an_api_in_the_directory_of_its_name_is_found_without_reading_other_files(root: Path) -> None:
    write("skills/resize/cortex.yaml", POD)
    write("skills/broken/cortex.yaml", "- {")
    assert Workspace(root).skill("resize").skill.name == "resize"


def test_the_project_of_an_api_is_not_searched_for_skills(root: Path) -> None:
    project()
    write("skills/ml/data/cortex.yaml", POD)
    write("skills/cortex.yaml", POD)
    assert [path.relative_to(root).as_posix() for path in Workspace(root).skill_paths()] == [
        "skills/cortex.yaml",
        "skills/ml/cortex.yaml",
    ]


def test_an_unknown_name_is_answered_with_the_nearest_api(root: Path) -> None:
    project()
    with pytest.raises(NotFound) as caught:
        Workspace(root).skill("trian")
    assert caught.value.hint == "Did you mean 'train'?"


def test_a_broken_api_does_not_hide_the_others(root: Path) -> None:
    project(TWO.replace("handler.py", "handler.txt"))
    rows = [(row["name"], row["problems"]) for row in listing(root, "skill")]
    assert rows == [("score", 1), ("train", 0)]
    assert Workspace(root).skill("train").skill.name == "train"
    with pytest.raises(InvalidDefinition, match=r"cortex.yaml:3:19: error: api.handler.path"):
        Workspace(root).skill("score")


def test_a_file_that_is_not_yaml_is_listed_by_its_directory(root: Path) -> None:
    write("skills/ml/cortex.yaml", "- {")
    assert [(row["name"], row["problems"]) for row in listing(root, "skill")] == [("ml", 1)]


def test_a_directory_with_an_api_file_is_a_workspace_that_registers_nothing_of_it(root: Path) -> None:
    write("cortex.yaml", POD)
    assert find_root(root, None) == root
    assert Workspace(root).skill_paths() == ()


# -- lint --------------------------------------------------------------------------------------------


def test_lint_of_a_whole_project_finds_nothing(root: Path) -> None:
    project(TWO.replace("handler.py}", "handler.py, python_path: lib, dependencies: {pip: r.txt}}"))
    Path("skills/ml/lib").mkdir()
    write("skills/ml/r.txt")
    write("skills/resize/cortex.yaml", POD)
    assert found(root) == []


def test_lint_names_what_the_project_lacks(root: Path) -> None:
    write(
        "skills/ml/cortex.yaml",
        "- name: score\n  kind: BatchAPI\n  handler:\n    path: handler.py\n    python_path: lib\n    dependencies: {pip: r.txt}\n",
    )
    write("skills/ml/conda-packages.txt")
    where = "skills/ml/cortex.yaml"
    conda = "skills/ml/conda-packages.txt has an effect only in containers whose image has conda; use r.txt"
    assert found(root) == [
        f"{where}:4:11: error: api.handler.path: there is no file skills/ml/handler.py",
        f"{where}:5:18: error: api.handler.python_path: there is no directory skills/ml/lib",
        f"{where}:6:19: warning: api.handler.dependencies: {conda}",
        f"{where}:6:25: warning: api.handler.dependencies.pip: there is no file skills/ml/r.txt; it is skipped",
    ]


def test_lint_checks_the_messages_to_try_an_api_with(root: Path) -> None:
    write("skills/resize/cortex.yaml", POD)
    write("skills/resize/invoke/items/message.json", "{}")
    (problem,) = found(root)
    assert problem.startswith("skills/resize/invoke/items/message.json:1:1: error: the message has no 'payload'")


def test_lint_tells_the_problems_of_all_apis_of_a_file(root: Path) -> None:
    project("- name: Score\n  kind: BatchAPI\n  handler: {path: handler.py}\n- name: train\n  kind: Task\n")
    problems = found(root)
    assert [problem.split(": error: ")[0] for problem in problems] == [
        "skills/ml/cortex.yaml:1:9",
        "skills/ml/cortex.yaml:4:3",
        "skills/ml/cortex.yaml:5:9",
    ]


def test_lint_tells_a_problem_of_the_whole_file_once(root: Path) -> None:
    project(TWO + "  kind: TaskAPI\n")
    assert [problem.split(": error: ")[1] for problem in found(root)] == [
        "the key 'kind' appears twice; the first is at 5:3"
    ]


def test_lint_finds_names_and_endpoints_that_two_apis_share(root: Path) -> None:
    project()
    write("skills/a/cortex.yaml", POD)
    write("skills/b/cortex.yaml", POD)
    write("skills/c/cortex.yaml", POD.replace("resize", "other") + "  networking: {endpoint: train}\n")
    names, endpoints = found(root)
    assert "skills/b/cortex.yaml:1:9: error: name: a second skill is called 'resize'; the first is at" in names
    assert "'/train' is also that of 'other' in skills/c/cortex.yaml" in endpoints


def test_lint_checks_an_agent_that_uses_an_api(root: Path) -> None:
    project()
    wires = "{from: input, to: score.items}, {from: score.result, to: output}"
    write("agents/flow.yaml", f"name: flow\nskills: [{{skillName: score}}]\nmappings: [{wires}]\n")
    (problem,) = found(root)
    assert "the skill 'score' has no output 'result'; its only one, 'results', is used" in problem


# -- images ------------------------------------------------------------------------------------------


def test_an_api_has_no_image_to_build(root: Path) -> None:
    project()
    write("skills/ml/Dockerfile", "FROM scratch\n")
    assert plan(root, None, None) == ()  # type: ignore[arg-type]
    assert images_of(Workspace(root).skill("score")) == {}


# -- templates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "kind", "command"),
    [
        ("batch-api", BATCH, "fabric-jobs jobs submit my-api --items '[1, 2, 3, 4, 5]' --batch-size 2 --watch"),
        ("task-api", TASK, "fabric-jobs jobs submit my-api --watch"),
    ],
)
def test_a_generated_api_is_valid_and_its_class_does_what_its_page_says(
    root: Path, template: str, kind: str, command: str
) -> None:
    generated = generate_skill("my-api", root, template)
    assert generated.next_command == command
    api = Workspace(root).skill("my-api").skill.actions[0].api
    assert api is not None
    assert (api.name, api.kind) == ("my-api", kind)
    assert found(root) == []
    program = root / "skills" / "my-api" / (api.code.path if api.code else "")
    assert len(program.read_text().splitlines()) <= 25
    typed = next(line for line in program.read_text().splitlines() if "python3 -c" in line).partition("python3 -c ")[2]
    ran = subprocess.run(
        [sys.executable, "-c", typed.strip("'")], cwd=program.parent, capture_output=True, text=True, check=True
    )
    assert ran.stdout == {BATCH: "[2, 4]\n", TASK: "Hello, world!\n"}[kind]


@pytest.mark.parametrize("name", ["My-api", "my_api", "b-api", "a" * 43])
def test_a_name_that_no_api_can_have_is_refused_before_anything_is_written(root: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a valid name of an API"):
        generate_skill(name, root, "batch-api")
    assert list(root.iterdir()) == []


def test_an_agent_can_be_generated_over_an_api(root: Path) -> None:
    generate_skill("score", root, "batch-api")
    generate_agent("flow", ("score",), root)
    text = (root / "agents/flow.yaml").read_text()
    assert "{from: input, to: score.items}" in text
    assert "{from: score.results, to: output}" in text
    assert found(root) == []


def test_the_schema_of_a_generated_api_is_where_its_first_line_says(root: Path) -> None:
    generate_skill("score", root, "batch-api")
    first = (root / "skills/score/cortex.yaml").read_text().splitlines()[0]
    address = first.removeprefix("# yaml-language-server: $schema=")
    assert (root / "skills/score" / address).read_bytes() == shipped.schema_file("api").read_bytes()

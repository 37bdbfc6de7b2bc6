"""The older layout of skills, and their actions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidDefinition
from fabric_jobs.images.context import context_paths
from fabric_jobs.names import task_name
from fabric_jobs.workspace.build import BuildOptions, plan
from fabric_jobs.workspace.lint.problems import lint
from fabric_jobs.workspace.root import find_root
from fabric_jobs.workspace.tree import Workspace

TWO = """\
name: cortex/both
inputs:
  - {name: train, routing: {all: {action: cortex/train, runtime: cortex/jobs, output: o}}}
  - name: ask
    routing:
      field: kind
      default: {action: predict, runtime: cortex/daemons, output: o}
      rules: [{match: web, runtime: cortex/external-api, output: o}]
outputs: [{name: o}]
"""


def write(root: Path, **files: str) -> Path:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    return root


def test_the_routing_names_the_actions_and_their_types(tmp_path: Path) -> None:
    root = write(tmp_path, skill_yaml=TWO, Dockerfile="FROM python\nCMD python x.py\n")
    found = Workspace(root).skill("cortex/both")
    assert [(action.name, action.type) for action in found.skill.actions] == [
        ("cortex/train", "job"),
        ("predict", "daemon"),
    ]
    assert [action["name"] for action in found.document["actions"]] == [
        "cortex/train",
        "predict",
    ]  # saved together with the actions
    targets = plan(root, None, BuildOptions())
    assert [(one.build.directory, one.build.names[1]) for one in targets] == [
        (root, "cortex-both-cortex-train:latest"),
        (root, "cortex-both-predict:latest"),
    ]


def test_the_state_of_a_skill_that_is_a_workspace_is_not_built_into_its_image(tmp_path: Path) -> None:
    root = write(tmp_path, skill_yaml=TWO, Dockerfile="FROM python\n")
    write(root / ".fabric-jobs", owner_json="{}")
    assert list(context_paths(root)) == ["Dockerfile", "skill.yaml"]


def test_an_action_json_is_the_action_of_its_name(tmp_path: Path) -> None:
    said = {
        "name": "predict",
        "actionType": "daemon",
        "docker": "p:1",
        "command": '["./p"]',
        "port": "80",
        "ttl": 5,
        "podSpec": None,
    }
    root = write(tmp_path, skill_yaml=TWO, Dockerfile="FROM python\n", action_json=json.dumps(said))
    train, predict = Workspace(root).skill("cortex/both").skill.actions
    assert (train.image, train.command) == ("", ())
    assert (predict.image, predict.command, predict.port) == ("p:1", ("./p",), "80")


@pytest.mark.parametrize("text", ["{", "[]", '{"comand": ["x"]}', '{"actionType": "deamon"}'])
def test_what_is_wrong_with_an_action_json_is_said(tmp_path: Path, text: str) -> None:
    alone = TWO[: TWO.index("  - name: ask")] + "outputs: [{name: o}]\n"
    root = write(tmp_path, skill_yaml=alone, Dockerfile="FROM python\n", action_json=text)
    with pytest.raises(InvalidDefinition) as caught:
        Workspace(root).skill("cortex/both")
    assert [problem.level for problem in lint(Workspace(root))].count("error") == len(caught.value.problems) == 1


def test_an_action_without_a_program_here_is_elsewhere(tmp_path: Path) -> None:
    root = write(tmp_path, skill_yaml=TWO)
    assert Workspace(root).skill("cortex/both").skill.actions == ()
    assert "is not an action of this skill" in " ".join(str(problem) for problem in lint(Workspace(root)))


def test_one_skill_is_a_workspace_unless_it_belongs_to_one(tmp_path: Path) -> None:
    alone = write(tmp_path / "alone", skill_yaml=TWO)
    (tmp_path / "w" / "skills").mkdir(parents=True)
    part = write(tmp_path / "w" / "skills" / "part", skill_yaml=TWO)
    beside = write(tmp_path / "w" / "beside", skill_yaml=TWO)
    (alone / "src").mkdir()
    assert find_root(alone / "src", None) == alone
    assert find_root(part, None) == tmp_path / "w"
    assert find_root(beside, None) == beside


def test_the_name_of_a_task_is_one_of_a_file() -> None:
    name = task_name("p", "cortex/webhook-skill", "cortex/webhook")
    assert name.startswith("p-cortex-webhook-skill-cortex-webhook-")
    assert len(task_name("p", "s" * 254, "a" * 254)) < 230

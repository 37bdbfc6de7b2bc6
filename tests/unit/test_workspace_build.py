"""The plan of a build: images, their files and their names. No engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidDefinition, InvalidInput, NotFound
from fabric_jobs.images.building import ImageBuild, build_command
from fabric_jobs.images.context import content_hash
from fabric_jobs.images.docker_command import Builder
from fabric_jobs.images.registries import Registry
from fabric_jobs.workspace import build, images
from fabric_jobs.workspace.build import BuildOptions, plan
from tests.images.workspaces import write_skill

PLAIN = BuildOptions()


@pytest.fixture(autouse=True)
def no_registry(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no registry of the user be active."""
    monkeypatch.setenv("FABRIC_JOBS_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))


def test_every_action_of_every_skill_is_an_image(tmp_path: Path) -> None:
    first = write_skill(tmp_path, "one", image="Team-One")
    write_skill(tmp_path, "two", "load", "two")
    targets = plan(tmp_path, None, PLAIN)
    assert [(target.skill, target.action) for target in targets] == [("one", "one"), ("two", "load"), ("two", "two")]
    assert targets[0].build == ImageBuild(
        directory=first,
        names=(f"team-one:{content_hash(first)}", "team-one:latest"),
        labels={
            "fabric-jobs.skill": "one",
            "fabric-jobs.action": "one",
            "fabric-jobs.content": content_hash(first),
            "fabric-jobs.inputs": PLAIN.fingerprint(),
        },
    )
    assert [target.build.names[1] for target in targets[1:]] == ["two-load:latest", "two:latest"]


def test_one_skill_is_looked_for_by_its_name(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    write_skill(tmp_path, "two")
    (target,) = plan(tmp_path, "two", PLAIN)
    assert target.skill == "two"
    with pytest.raises(NotFound, match="there is no skill 'twoo'") as caught:
        plan(tmp_path, "twoo", PLAIN)
    assert caught.value.hint == "Did you mean 'two'?"


def test_images_belong_to_the_active_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(name="private", url="https://registry.example.org:5000", namespace="me")
    for module in (build, images):
        monkeypatch.setattr(module, "active", lambda: registry)
    write_skill(tmp_path, "one", image="one:2.0")
    write_skill(tmp_path, "two", image="cortex/two")
    names = [target.build.names for target in plan(tmp_path, None, PLAIN)]
    assert [name.partition(":")[2].rpartition(":")[0] for name in names[0]] == ["5000/me/one"] * 2
    assert [names[0][1], names[1][1]] == ["registry.example.org:5000/me/one:2.0", "cortex/two:latest"]


def test_no_skill_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "skills").mkdir()
    with pytest.raises(NotFound, match="No skills found in"):
        plan(tmp_path, None, PLAIN)


def test_a_skill_without_actions_is_passed_over(tmp_path: Path) -> None:
    text = "camel: 1.0.0\nname: api\ninputs:\n- name: request\n  routing: {all: {runtime: cortex/external-api, output: o}}\n"
    (tmp_path / "skills" / "api").mkdir(parents=True)
    (tmp_path / "skills" / "api" / "skill.yaml").write_text(f"{text}outputs: [{{name: o}}]\n")
    assert plan(tmp_path, None, PLAIN) == ()


def test_an_image_from_elsewhere_is_not_built(tmp_path: Path) -> None:
    directory = write_skill(tmp_path, "one", image="library/python:3")
    (directory / "main.py").unlink()
    (directory / "Dockerfile").unlink()
    directory.rmdir()
    assert plan(tmp_path, None, PLAIN) == ()


def test_every_missing_dockerfile_is_told_at_once_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_skill(tmp_path, "one", "a", "b", dockerfile=None)
    write_skill(tmp_path, "two")
    with pytest.raises(InvalidDefinition) as caught:
        plan(tmp_path, None, PLAIN)
    assert [str(problem) for problem in caught.value.problems] == [
        f"skills/one/actions/{name}/Dockerfile: error: "
        f"the action '{name}' of the skill 'one' has no Dockerfile; write this file"
        for name in ("a", "b")
    ]


def test_an_invalid_name_is_told_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_skill(tmp_path, "one", image="not an image")
    with pytest.raises(InvalidDefinition) as caught:
        plan(tmp_path, None, PLAIN)
    assert str(caught.value).startswith(
        "skills/one/skill.yaml: error: actions[0].image: 'not an image' is not a valid image name"
    )


def test_two_images_of_one_name_are_an_error_unless_they_are_the_same(tmp_path: Path) -> None:
    first = write_skill(tmp_path, "one", image="shared")
    second = write_skill(tmp_path, "two", image="shared")
    with pytest.raises(InvalidDefinition, match="two images are called 'shared:latest'"):
        plan(tmp_path, None, PLAIN)
    (second / "main.py").write_text((first / "main.py").read_text())
    assert len({target.reference for target in plan(tmp_path, None, PLAIN)}) == 1


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (BuildOptions(), BuildOptions(use_cache=False), True),
        (BuildOptions(arguments=("A=1", "B=2")), BuildOptions(arguments=("B=2", "A=1")), True),
        (BuildOptions(arguments=("A=1", "A=2")), BuildOptions(arguments=("A=2",)), True),
        (BuildOptions(arguments=("FROM_OUTSIDE",)), BuildOptions(arguments=("FROM_OUTSIDE=x",)), True),
        (BuildOptions(arguments=("NOT_SET",)), BuildOptions(arguments=("NOT_SET=",)), False),
        (BuildOptions(arguments=("A=1",)), BuildOptions(arguments=("A=2",)), False),
        (BuildOptions(), BuildOptions(platform="linux/arm64"), False),
    ],
    ids=["cache", "order", "last-wins", "environment", "empty", "value", "platform"],
)
def test_what_is_given_beside_the_files_has_a_fingerprint(
    monkeypatch: pytest.MonkeyPatch, one: BuildOptions, other: BuildOptions, is_same: bool
) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "x")
    assert (one.fingerprint() == other.fingerprint()) is is_same


@pytest.mark.parametrize("argument", ["", "=", "=value", " =value"], ids=repr)
def test_a_build_argument_has_a_name(argument: str) -> None:
    with pytest.raises(InvalidInput, match="is not a build argument"):
        BuildOptions(arguments=(argument,))


def test_several_platforms_cannot_be_loaded() -> None:
    with pytest.raises(InvalidInput, match="cannot load an image"):
        BuildOptions(platform="linux/amd64,linux/arm64")


def test_the_command_has_all_that_was_given() -> None:
    one = ImageBuild(
        directory=Path("/w/a b"),
        names=("x:1", "x:latest"),
        labels={"l": "v"},
        arguments=("A=1", "B"),
        platform="linux/arm64",
        use_cache=False,
    )
    words = build_command(one, Builder(words=("docker", "buildx", "build", "--load")))
    options = "--progress=plain --no-cache --platform linux/arm64 --build-arg A=1 --build-arg B --label l=v"
    assert words == [*f"docker buildx build --load {options} --tag x:1 --tag x:latest".split(), "/w/a b"]
    assert "--progress=plain" not in build_command(one, Builder(words=("docker", "build"), is_buildkit=False))

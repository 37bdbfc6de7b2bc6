"""The plan of a publish, made from the files, the lock file and the engine's images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidDefinition, InvalidInput, NotFound
from fabric_jobs.workspace.publishing.lock_file import Lock, LockedImage
from fabric_jobs.workspace.publishing.plan import Publication, make_plan
from fabric_jobs.workspace.tree import Workspace
from tests.publishing import DIGEST, LAB, OTHER, Engine, agent, locked, reference, skill


def plan(
    root: Path, engine: Engine, *, only: str | None = None, lock: Lock | None = None, skip_push: bool = False
) -> Publication:
    """Return the plan of a workspace at LAB."""
    return make_plan(Workspace(root), only, LAB, lock or Lock(), engine, skip_push=skip_push)


def test_what_was_never_pushed_is_pushed(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one", "more")
    names = [reference(tmp_path, "one", "one"), reference(tmp_path, "one", "more")]
    found = plan(tmp_path, Engine(**dict.fromkeys(names, ())))
    assert [(image.reference, image.push, image.digest) for image in found.images] == [
        (name, True, "") for name in names
    ]
    assert found.images[0].other_reference == "localhost:5000/flights/one:latest"
    assert found.registry == "lab"


def test_what_was_not_built_is_refused_with_all_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    skill(tmp_path, "one", "one", "more")
    skill(tmp_path, "two", "two")
    engine = Engine(**{reference(tmp_path, "one", "more"): (), "localhost:5000/flights/two:latest": ()})
    with pytest.raises(NotFound) as caught:
        plan(tmp_path, engine)
    assert "2 images are missing" in caught.value.message
    assert "action 'one' of skill 'one' was not built" in caught.value.message
    assert "action 'two' of skill 'two' has changed since it was built" in caught.value.message
    assert "more" not in caught.value.message
    assert caught.value.hint == "Next: fabric-jobs workspaces build"


def test_the_hint_names_the_skill_when_it_is_one_and_a_workspace_that_is_elsewhere(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one", "more")
    with pytest.raises(NotFound) as caught:
        plan(tmp_path, Engine())
    assert caught.value.hint == f"Next: fabric-jobs workspaces build {tmp_path} --skill one"


@pytest.mark.parametrize(
    ("instructions", "given", "expected"),
    [
        ('ENTRYPOINT ["scuttle", "python", "main.py"]\nCMD ["-v"]\n', {}, ["scuttle", "python", "main.py", "-v"]),
        ('ENTRYPOINT ["python", "main.py"]\n', {"command": ["python", "other.py"]}, ["python", "other.py"]),
        ("ENTRYPOINT python main.py\n", {}, None),  # a shell reads it
        ('CMD ["python", "main.py"]\n', {}, None),  # the base may have an ENTRYPOINT
        ("", {}, None),
    ],
)
def test_a_published_action_names_its_program(
    tmp_path: Path, instructions: str, given: dict[str, list[str]], expected: list[str] | None
) -> None:
    skill(tmp_path, "one", "one", **given)
    with open(tmp_path / "skills/one/actions/one/Dockerfile", "a") as file:
        file.write(instructions)
    found = plan(tmp_path, Engine(**{reference(tmp_path, "one", "one"): ()}))
    (action,) = found.planned[0].pinned_document()["actions"]
    assert action.get("command") == expected


def test_what_was_pushed_is_not_pushed_again(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    lock = Lock(skills={"one": {"one": locked(tmp_path, "one", "one")}})
    found = plan(tmp_path, Engine(**{reference(tmp_path, "one", "one"): (OTHER, DIGEST)}), lock=lock)
    assert [(image.push, image.pinned) for image in found.images] == [(False, f"localhost:5000/flights/one@{DIGEST}")]
    assert found.new_lock() == lock


def test_what_was_pushed_need_not_be_on_this_engine(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    lock = Lock(skills={"one": {"one": locked(tmp_path, "one", "one")}})
    assert [image.push for image in plan(tmp_path, Engine(), lock=lock).images] == [False]


@pytest.mark.parametrize("known", [(), (OTHER,)])
def test_what_was_built_anew_since_is_pushed_again(tmp_path: Path, known: tuple[str, ...]) -> None:
    skill(tmp_path, "one", "one")
    lock = Lock(skills={"one": {"one": locked(tmp_path, "one", "one")}})
    engine = Engine(**{reference(tmp_path, "one", "one"): known})
    assert [image.push for image in plan(tmp_path, engine, lock=lock).images] == [True]


def test_what_was_pushed_elsewhere_or_with_other_files_is_pushed(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    there = locked(tmp_path, "one", "one")
    engine = Engine(**{reference(tmp_path, "one", "one"): ()})
    for image in (
        LockedImage(image="localhost:6000/flights/one", tag=there.tag, digest=DIGEST),
        LockedImage(image=there.image, tag="0123", digest=DIGEST),
    ):
        lock = Lock(skills={"one": {"one": image}})
        assert [image.push for image in plan(tmp_path, engine, lock=lock).images] == [True]


def test_skipping_the_push_pins_by_the_digest_where_it_is_known_else_by_the_tag(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one", "more")
    lock = Lock(skills={"one": {"one": locked(tmp_path, "one", "one")}})
    engine = Engine(**{reference(tmp_path, "one", "more"): (OTHER,)})
    found = plan(tmp_path, engine, lock=lock, skip_push=True)
    assert engine.asked == [reference(tmp_path, "one", "more")]  # the engine is not asked about recorded images
    pins = [f"localhost:5000/flights/one@{DIGEST}", reference(tmp_path, "one", "more")]
    assert [image.pinned for image in found.images] == pins
    assert not any(image.push for image in found.images)
    assert [action["image"] for action in found.planned[0].pinned_document()["actions"]] == pins
    assert found.new_lock() == lock


def test_without_a_registry_there_is_nowhere_to_push(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    tag = reference(tmp_path, "one", "one").rpartition(":")[2]
    engine = Engine(**{f"one:{tag}": ()})
    with pytest.raises(NotFound, match="no registry is active") as caught:
        make_plan(Workspace(tmp_path), None, None, Lock(), engine, skip_push=False)
    assert "registry add" in caught.value.hint
    found = make_plan(Workspace(tmp_path), None, None, Lock(), engine, skip_push=True)
    assert [image.pinned for image in found.images] == [f"one:{tag}"]


def test_an_image_that_names_its_registry_needs_no_other(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one", image="localhost:6000/mine:stable")
    tag = reference(tmp_path, "one", "one").rpartition(":")[2]
    engine = Engine(**{f"localhost:6000/mine:{tag}": ()})
    (image,) = make_plan(Workspace(tmp_path), None, None, Lock(), engine, skip_push=False).images
    assert (image.reference, image.other_reference) == (f"localhost:6000/mine:{tag}", "localhost:6000/mine:stable")


def test_an_image_of_somebody_else_is_used_as_it_is(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one", image="example.org/theirs:3")
    (tmp_path / "skills" / "one" / "actions" / "one" / "Dockerfile").unlink()
    (tmp_path / "skills" / "one" / "actions" / "one").rmdir()
    found = plan(tmp_path, Engine())
    assert found.images == ()
    assert found.planned[0].pinned_document()["actions"][0]["image"] == "example.org/theirs:3"


def test_skills_go_before_the_agents_that_use_them(tmp_path: Path) -> None:
    skill(tmp_path, "one")
    skill(tmp_path, "two")
    agent(tmp_path, "both", "one", "two")
    found = plan(tmp_path, Engine())
    assert [(planned.kind, planned.name) for planned in found.planned] == [
        ("skill", "one"),
        ("skill", "two"),
        ("agent", "both"),
    ]


def test_a_skill_without_actions_is_published_as_it_is(tmp_path: Path) -> None:
    skill(tmp_path, "api")
    (planned,) = plan(tmp_path, Engine()).planned
    assert planned.pinned_document() == planned.document
    assert plan(tmp_path, Engine()).new_lock() == Lock()


def test_one_skill_takes_the_agents_along_that_use_no_other(tmp_path: Path) -> None:
    skill(tmp_path, "one")
    skill(tmp_path, "two")
    agent(tmp_path, "alone", "one")
    agent(tmp_path, "both", "one", "two")
    agent(tmp_path, "broken", "one", "three")
    (tmp_path / "agents" / "rubbish.yaml").write_text("{")
    assert [planned.name for planned in plan(tmp_path, Engine(), only="one").planned] == ["one", "alone"]


def test_one_skill_leaves_the_others_in_the_lock_file(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    skill(tmp_path, "two", "two")
    both = Lock(skills={name: {name: locked(tmp_path, name, name)} for name in ("one", "two")})
    old = Lock(skills={**both.skills, "gone": {"gone": locked(tmp_path, "one", "one")}})
    assert plan(tmp_path, Engine(), only="one", lock=old).new_lock() == old
    assert plan(tmp_path, Engine(), lock=old).new_lock() == both


def test_an_action_that_is_gone_goes_from_the_lock_file(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    image = locked(tmp_path, "one", "one")
    old = Lock(skills={"one": {"one": image, "more": image}})
    assert plan(tmp_path, Engine(), only="one", lock=old).new_lock() == Lock(skills={"one": {"one": image}})


def test_files_of_other_kinds_are_counted(tmp_path: Path) -> None:
    skill(tmp_path, "one")
    for path in ("types/one/a.yaml", "types/one/deep/b.yaml", "types/two/c.yaml", "content/d", "models/.gitkeep"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert plan(tmp_path, Engine()).left_out == (("types", 3), ("content", 1))
    assert plan(tmp_path, Engine(), only="one").left_out == (("types", 2),)


def test_a_workspace_without_skills_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No skills found"):
        plan(tmp_path, Engine())
    with pytest.raises(NotFound, match="there is no skill 'one'"):
        plan(tmp_path, Engine(), only="one")


def test_what_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    skill(tmp_path, "one")
    agent(tmp_path, "both", "one", "two")
    agent(tmp_path, "odd", "one", mappings=3)
    with pytest.raises(InvalidDefinition) as caught:
        plan(tmp_path, Engine())
    assert "the workspace has no skill 'two'" in caught.value.message
    assert "odd.yaml" in caught.value.message


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    skill(tmp_path, "one")
    skill(tmp_path, "two")
    path = tmp_path / "skills" / "two" / "skill.yaml"
    path.write_text(path.read_text().replace('"two"', '"One"'))
    with pytest.raises(InvalidDefinition, match="a second skill is called 'One'"):
        plan(tmp_path, Engine())


def test_an_action_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    skill(tmp_path, "one", "one")
    (tmp_path / "skills" / "one" / "actions" / "one" / "Dockerfile").unlink()
    with pytest.raises(InvalidDefinition, match="has no Dockerfile"):
        plan(tmp_path, Engine())


@pytest.mark.parametrize("image", ["a b", "UP/.x", "a@sha256:1", "a:b c"])
def test_images_that_can_be_none_are_refused(tmp_path: Path, image: str) -> None:
    skill(tmp_path, "one", "one", image=image)
    with pytest.raises(InvalidInput):
        plan(tmp_path, Engine())


def test_an_api_with_a_class_is_left_out_and_one_with_containers_is_saved_as_it_is(tmp_path: Path) -> None:
    project = tmp_path / "skills" / "ml"
    project.mkdir(parents=True)
    (project / "Dockerfile").write_text("FROM scratch\n")
    pod = {"containers": [{"name": "api", "image": "example/resize", "command": ["serve"]}]}
    apis = [
        {"name": "resize", "kind": "BatchAPI", "pod": pod},
        {"name": "score", "kind": "BatchAPI", "handler": {"path": "handler.py"}},
    ]
    (project / "cortex.yaml").write_text(json.dumps(apis))
    agent(tmp_path, "flow", "resize", "score")
    found = plan(tmp_path, Engine())
    assert [(one.kind, one.name) for one in found.planned] == [("skill", "resize"), ("agent", "flow")]
    assert found.planned[0].pinned_document() == {"name": "resize", "api": apis[0]}
    assert found.projects == (("score", project / "cortex.yaml"),)
    assert plan(tmp_path, Engine(), only="score").planned == ()

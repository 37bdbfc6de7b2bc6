"""Versions of definitions: each change adds one, and none ever changes."""

from __future__ import annotations

from typing import Any

from fabric_jobs.store import Store, definitions
from fabric_jobs.store.definitions import NewDefinition


def save(
    store: Store, body: Any, *, name: str = "b", project_id: str = "p", kind: str = "skill", **programs: Any
) -> int:
    given = definitions.Programs(**{"source": "/s", **programs})
    new = NewDefinition(project_id=project_id, kind=kind, name=name, body=body, programs=given)
    before = definitions.kept(store.read, new)
    version = store.write(lambda tx: definitions.save(tx, new)).result()
    assert before in (None, version)
    assert definitions.kept(store.read, new) == version
    return version


def test_a_change_is_a_new_version_and_the_old_one_stays(store: Store) -> None:
    assert [save(store, body) for body in ({"n": 1}, {"n": 2})] == [1, 2]
    first, newest = definitions.find(store.read, "p", "skill", "b", 1), definitions.find(store.read, "p", "skill", "b")
    assert first is not None
    assert newest is not None
    assert (first.body, newest.version, newest.body) == ({"n": 1}, 2, {"n": 2})


def test_what_did_not_change_keeps_its_version(store: Store) -> None:
    assert [save(store, {"n": 1}) for _ in range(3)] == [1, 1, 1]


def test_going_back_is_a_new_version_too(store: Store) -> None:
    assert [save(store, body) for body in (1, 2, 1)] == [1, 2, 3]


def test_another_directory_is_a_change(store: Store) -> None:
    assert [save(store, 1, source=source) for source in ("/a", "/b")] == [1, 2]


def test_other_images_are_a_change_and_none_are_not(store: Store) -> None:
    given: tuple[dict[str, str], ...] = ({}, {"b": "b:1"}, {"b": "b:1"}, {}, {"b": "b:2"})
    assert [save(store, 1, images=images) for images in given] == [1, 2, 2, 2, 3]
    newest = definitions.find(store.read, "p", "skill", "b")
    assert newest is not None
    assert newest.images == {"b": "b:2"}


def test_projects_and_kinds_and_names_are_apart(store: Store) -> None:
    save(store, 1)
    assert [save(store, 2, project_id="q"), save(store, 2, kind="agent"), save(store, 2, name="c")] == [1, 1, 1]
    assert [item.name for item in definitions.newest(store.read, "p", "skill")] == ["b", "c"]


def test_the_list_has_the_newest_version_of_each(store: Store) -> None:
    save(store, 1)
    save(store, 2)
    save(store, 3, name="a")
    assert [(item.name, item.version, item.body) for item in definitions.newest(store.read, "p", "skill")] == [
        ("a", 1, 3),
        ("b", 2, 2),
    ]


def test_what_is_not_there_is_none(store: Store) -> None:
    save(store, {"text": "žluťoučký"})
    assert definitions.find(store.read, "p", "skill", "b", 2) is None
    assert definitions.find(store.read, "p", "agent", "b") is None
    newest = definitions.find(store.read, "p", "skill", "b")
    assert newest is not None
    assert newest.body == {"text": "žluťoučký"}

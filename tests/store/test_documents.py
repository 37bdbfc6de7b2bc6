"""Named documents: each change adds a version; what becomes of old ones depends on the kind."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.store import Store, documents
from fabric_jobs.store.documents import DocumentKey, NewDocument

KEY = DocumentKey("p", "type", "a")
PROJECTS = count()


def save(store: Store, body: Any, key: DocumentKey = KEY, **more: Any) -> int:
    return store.write(lambda tx: documents.save(tx, NewDocument(key=key, body=body, **more))).result()


def body_of(store: Store, key: DocumentKey = KEY, version: int | None = None) -> Any:
    saved = documents.find(store.read, key, version)
    return None if saved is None else saved.body


def test_a_change_is_a_version_and_old_ones_stay_only_with_a_history(store: Store) -> None:
    assert [save(store, {"n": n}) for n in (1, 1, 2)] == [1, 1, 2]
    assert (body_of(store), body_of(store, version=1)) == ({"n": 2}, {"n": 1})
    run = DocumentKey("p", "run", "r", "e")
    assert [save(store, {"n": n}, run, has_history=False) for n in (1, 2)] == [1, 2]
    assert (body_of(store, run), body_of(store, run, 1)) == ({"n": 2}, None)


def test_projects_kinds_parents_and_names_are_apart(store: Store) -> None:
    others = [
        KEY._replace(project_id="q"),
        KEY._replace(kind="model"),
        KEY._replace(parent="e"),
        KEY._replace(name="b"),
    ]
    save(store, {"n": 0})
    for number, key in enumerate(others, 1):
        assert save(store, {"n": number}, key) == 1
    assert body_of(store) == {"n": 0}
    assert [body_of(store, key) for key in others] == [{"n": number} for number in (1, 2, 3, 4)]
    assert [saved.name for saved in documents.newest(store.read, "p", "type")] == ["a", "b"]


def test_a_deleted_document_is_kept_for_whom_pinned_it_and_can_come_back(store: Store) -> None:
    save(store, {"n": 1}, created_by="ann")
    assert store.write(lambda tx: documents.delete(tx, KEY)).result()
    assert not store.write(lambda tx: documents.delete(tx, KEY)).result()
    assert (body_of(store), body_of(store, version=1)) == (None, {"n": 1})
    assert save(store, {"n": 1}, created_by="bob") == 3
    saved = documents.find(store.read, KEY)
    assert saved is not None
    assert saved.created_by == "bob"
    assert [version.version for version in documents.versions(store.read, KEY)] == [3, 1]


def test_who_changes_a_document_did_not_make_it(store: Store) -> None:
    save(store, {"n": 1}, created_by="ann")
    first = documents.find(store.read, KEY)
    save(store, {"n": 2}, created_by="bob")
    second = documents.find(store.read, KEY)
    assert first is not None
    assert second is not None
    assert (second.created_by, second.created_at) == ("ann", first.created_at)
    assert second.saved_at >= first.saved_at


def test_what_has_expired_is_neither_found_nor_kept(store: Store) -> None:
    old, new = KEY._replace(name="old"), KEY._replace(name="new")
    save(store, 1, old, expires_at=1.0)
    save(store, 2, new, expires_at=2.0**40)
    assert (body_of(store, old), body_of(store, new)) == (None, 2)
    assert [saved.name for saved in documents.newest(store.read, "p", "type")] == ["new"]
    assert store.write(documents.expire).result() == 1
    assert store.write(documents.expire).result() == 0


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["save", "delete"]), st.sampled_from("ab"), st.integers(0, 2)), max_size=12
)


@pytest.mark.parametrize("has_history", [True, False])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_it_holds_what_was_saved_last_and_versions_grow(
    store: Store, has_history: bool, operations: list[tuple[str, str, int]]
) -> None:
    project = f"p{next(PROJECTS)}"
    expected: dict[str, int] = {}
    last: dict[str, int] = defaultdict(int)
    for verb, name, value in operations:
        key = DocumentKey(project, "type", name)
        if verb == "delete":
            gone = store.write(
                lambda tx, key=key: documents.delete(tx, key, has_history=has_history)  # type: ignore[misc]
            ).result()
            assert gone == (expected.pop(name, None) is not None)
            if not has_history:
                last[name] = 0
            continue
        version = save(store, value, key, has_history=has_history)
        assert version == last[name] if expected.get(name) == value else version > last[name]
        expected[name], last[name] = value, version
    assert {saved.name: saved.body for saved in documents.newest(store.read, project, "type")} == expected

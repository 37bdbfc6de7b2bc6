"""Rows of content: keys of projects, in the order of their bytes, whatever they look like."""

from __future__ import annotations

import hashlib
import secrets
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.blobs import Blob
from fabric_jobs.errors import InUse, NotFound
from fabric_jobs.records import Project
from fabric_jobs.store import Store, content, projects
from fabric_jobs.store.sql import QUERIES

KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffd\U0010ffff"), min_size=1, max_size=6
)


def blob(data: bytes = b"") -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data), b"")


def put(store: Store, *keys: str, project: str = "p", data: bytes = b"x") -> None:
    store.write(partial(projects.ensure, new=Project.new(project, created_by="x"))).result()
    for key in keys:
        store.write(
            partial(content.put, project_id=project, key=key, blob=blob(data), content_type="text/plain")
        ).result()


def in_order(text: str) -> bytes:
    return text.encode()


def test_a_key_is_of_its_project(store: Store) -> None:
    put(store, "k", project="one", data=b"1")
    put(store, "k", project="two", data=b"22")
    put(store, "k", project="two", data=b"333")
    found = content.find(store.read, "two", "k")
    assert found is not None
    assert (found[0].size, found[1]) == (3, blob(b"333"))
    assert content.find(store.read, "three", "k") is None
    assert [item.size for item in content.listed(store.read, "one", "", limit=10)] == [1]
    assert not store.write(lambda tx: content.drop(tx, "three", "k")).result()
    assert store.write(lambda tx: content.drop(tx, "one", "k")).result()
    assert not store.write(lambda tx: content.drop(tx, "one", "k")).result()
    assert content.totals(store.read) == (1, 3)


def test_a_project_that_was_deleted_meanwhile_gets_nothing(store: Store) -> None:
    put(store, "k", project="one")
    with pytest.raises(InUse, match="content"):
        store.write(partial(projects.delete, project_id="one")).result()
    assert store.write(partial(content.drop, project_id="one", key="k")).result()
    assert store.write(partial(projects.delete, project_id="one")).result()
    with pytest.raises(NotFound, match="deleted"):
        store.write(partial(content.put, project_id="one", key="k", blob=blob(), content_type="text/plain")).result()
    assert content.totals(store.read) == (0, 0)


def test_bytes_are_used_as_long_as_a_key_has_them(store: Store) -> None:
    put(store, "a", "b", data=b"same")
    put(store, "a", project="other", data=b"same")
    assert content.totals(store.read) == (3, 4)
    for project, key in (("p", "a"), ("p", "b"), ("other", "a")):
        assert content.is_used(store.read, blob(b"same").sha256)
        store.write(partial(content.drop, project_id=project, key=key)).result()
    assert not content.is_used(store.read, blob(b"same").sha256)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keys=st.sets(KEYS, max_size=20), prefix=st.one_of(st.just(""), KEYS), limit=st.integers(1, 5))
def test_pages_of_a_prefix_are_its_keys_in_order(store: Store, keys: set[str], prefix: str, limit: int) -> None:
    project = secrets.token_hex(8)  # of this example
    put(store, *keys, project=project)
    wanted = sorted((key for key in keys if key.startswith(prefix)), key=in_order)
    found: list[str] = []
    while page := content.listed(store.read, project, prefix, after=found[-1] if found else "", limit=limit):
        found += [item.key for item in page]
    assert found == wanted
    second = content.listed(store.read, project, prefix, limit=limit, skip=1)
    assert [item.key for item in second] == wanted[1 : limit + 1]


@pytest.mark.parametrize("name", ["contents", "content", "content_of_bytes", "drop_content"])
def test_no_statement_reads_all_keys(store: Store, name: str) -> None:
    values = dict.fromkeys(("project_id", "key", "after", "prefix", "sha256"), "x") | {"limit": 1, "skip": 0}
    plan = store.read.connection.execute(f"explain query plan {QUERIES[name]}", values).fetchall()
    assert all("SEARCH" in row["detail"] and "TEMP" not in row["detail"] for row in plan), [*map(tuple, plan)]

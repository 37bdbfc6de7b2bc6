"""Parts of Kubernetes objects: additions to a pod, and names."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.manifests import literal, object_name, patched


def test_additions_go_where_they_say_in_their_order() -> None:
    def put(*patches: tuple[str, Any]) -> Any:
        adds = [{"path": path, "value": value} for path, value in patches]
        return patched({"containers": [{"name": "a"}]}, adds, "action 'score'")

    assert put(("/volumes", []), ("/volumes/-", {"name": "v"}), ("/volumes/0", {"name": "u"}))["volumes"] == [
        {"name": "u"},
        {"name": "v"},
    ]
    assert put(("/containers/0/resources", {"limits": {}}))["containers"] == [
        {"name": "a", "resources": {"limits": {}}}
    ]
    assert put(("/containers/0/name", "b"))["containers"] == [{"name": "b"}]
    assert put(("/x", {}), ("/x/a~1b", 1), ("/x/c~0d", 2))["x"] == {"a/b": 1, "c~d": 2}
    for path in ("/volumes/-", "/containers/1/name", "/containers/01/name", "/containers/-1/x", "/containers/0/name/x"):
        with pytest.raises(InvalidInput, match=re.escape(f"'{path}'")):
            put((path, 1))


VALUES = st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
KEYS = st.text(st.characters(codec="utf-8"), max_size=4)


@given(st.dictionaries(KEYS, VALUES, max_size=4), KEYS, VALUES)
def test_an_addition_to_an_object_is_found_there_and_changes_nothing_else(
    pod: dict[str, Any], key: str, value: Any
) -> None:
    before = deepcopy(pod)
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    assert patched(pod, [{"path": pointer, "value": value}], "it") == {**before, key: value}
    assert pod == before


@given(st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_a_name_is_one_that_kubernetes_takes(words: list[str]) -> None:
    name = object_name(*words)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 52


def test_long_names_stay_different() -> None:
    assert object_name("a" * 60, "b") != object_name("a" * 60, "c")


def test_a_literal_is_what_kubernetes_makes_of_it_again() -> None:
    assert literal("a $(HOME) $HOME") == "a $$(HOME) $HOME"
    assert literal("$$ $$(HOME) $") == "$$$ $$$$(HOME) $"

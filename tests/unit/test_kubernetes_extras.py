"""Objects of `k8sResources`, with what they belong to."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.kubernetes import manifest
from fabric_jobs.executors.kubernetes.extras import HASH, OWNER, labelled

SPEC = AttemptSpec(
    name="a-1", processes=(), labels={"project": "local", "activation": "ab12", "skill": "a/b", "action": "act"}
)
WORDS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


@given(WORDS, WORDS, st.dictionaries(st.sampled_from(["data", "spec"]), WORDS))
def test_an_object_keeps_all_that_it_has_and_shows_its_owner(
    labels: dict[str, str], annotations: dict[str, str], more: dict[str, Any]
) -> None:
    metadata = {"name": "x", "labels": labels, "annotations": annotations, "finalizers": ["f"]}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}
    made = labelled(json.dumps(body), SPEC, "0a1b2c")
    assert made.keys() == body.keys()
    assert {key: made[key] for key in more} == more
    found = made["metadata"]
    assert (found["name"], found["finalizers"]) == ("x", ["f"])
    assert found["labels"] == {
        **labels,
        "app.kubernetes.io/managed-by": "fabric-jobs",
        OWNER: "0a1b2c",
        "fabric-jobs/project": "local",
        "fabric-jobs/skill": "a-b",
        "fabric-jobs/action": "act",
    }
    assert found["annotations"].keys() == {*annotations, HASH}
    assert OWNER != manifest.OWNER  # or the sweep of attempts would delete it


def test_another_text_has_another_mark() -> None:
    def mark(value: str) -> str:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "x", "labels": None},
            "data": {"a": value},
        }
        return str(labelled(json.dumps(body), SPEC, "o")["metadata"]["annotations"][HASH])

    assert mark("1") == mark("1") != mark("2")


@pytest.mark.parametrize("metadata", [None, 3, [], {}, {"name": None}, {"name": 3}, {"name": ""}, {"name": "../x"}])
def test_an_object_without_a_name_is_an_error(metadata: object) -> None:
    said = "an object of kind 'ConfigMap' has no 'metadata.name'"
    with pytest.raises(InvalidInput, match=re.escape(said)):
        labelled(json.dumps({"kind": "ConfigMap", "metadata": metadata}), SPEC, "o")

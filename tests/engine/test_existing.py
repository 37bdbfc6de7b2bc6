"""An invocation that comes twice: attached, started anew or refused, by its key or its id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.engine.existing import _equal, _spelled
from fabric_jobs.engine.invoke import Invoked, invoke
from fabric_jobs.engine.plans import Plans
from fabric_jobs.errors import AlreadyExists
from fabric_jobs.states import ActivationState
from fabric_jobs.store import Store, activations
from tests.factories import AT_ONCE, invocation, save_skill, skill_document

ENDS = (ActivationState.COMPLETE, ActivationState.ERROR, ActivationState.CANCELLED)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé\n"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    for name in ("a", "b"):
        save_skill(opened, skill_document(name))
    yield opened
    opened.close()


def post(store: Store, payload: object = 1, *, name: str = "a", **changes: Any) -> Invoked:
    return invoke(store, Plans(), invocation("skill", name, payload, **changes), AT_ONCE).result()


def end(store: Store, begun: Invoked, state: ActivationState) -> None:
    activation = activations.find(store.read, begun.activation_id)
    assert activation is not None
    assert store.write(lambda tx: activations.end(tx, activation, state)).result()


def refused(store: Store, *words: str, **changes: Any) -> AlreadyExists:
    with pytest.raises(AlreadyExists) as caught:
        post(store, **changes)
    for word in words:
        assert word in caught.value.message
    return caught.value


def test_a_key_attaches_while_it_runs_and_after_it_is_complete(store: Store) -> None:
    first = post(store, key="k")
    assert not first.attached
    assert post(store, key="k") == Invoked(activation_id=first.activation_id, attached=True)
    end(store, first, ActivationState.COMPLETE)
    assert post(store, key="k") == Invoked(activation_id=first.activation_id, attached=True)
    assert post(store).activation_id != post(store).activation_id  # without a key


@pytest.mark.parametrize("state", ENDS[1:])
def test_after_a_failure_a_key_starts_anew_and_the_newest_counts(store: Store, state: ActivationState) -> None:
    first = post(store, key="k")
    end(store, first, state)
    assert post(store, key="k", if_exists="attach").activation_id == first.activation_id
    second = post(store, key="k")
    assert not second.attached
    assert second.activation_id != first.activation_id
    for way in ("retry", "attach"):
        assert post(store, key="k", if_exists=way).activation_id == second.activation_id
    end(store, second, ActivationState.COMPLETE)
    assert post(store, key="k").activation_id == second.activation_id


@pytest.mark.parametrize("state", [None, *ENDS])
def test_fail_refuses_in_every_state_and_names_the_activation(store: Store, state: ActivationState | None) -> None:
    first = post(store, key="k", if_exists="fail")
    if state is not None:
        end(store, first, state)
    error = refused(store, first.activation_id, state or "PENDING", key="k", if_exists="fail")
    assert error.activation_id == first.activation_id
    refused(store, first.activation_id, activation_id=first.activation_id, if_exists="fail")


def test_an_id_names_one_activation_for_good(store: Store) -> None:
    first = post(store, activation_id="mine")
    end(store, first, ActivationState.ERROR)
    for way in ("retry", "attach"):
        assert post(store, activation_id="mine", if_exists=way) == Invoked(activation_id="mine", attached=True)


DIFFERENT: dict[str, dict[str, Any]] = {
    "target": {"name": "b"},
    "payload": {"payload": [1]},
    "properties": {"properties": {"speed": "fast"}},
}


@pytest.mark.parametrize("name", [{"key": "k"}, {"activation_id": "mine"}])
@pytest.mark.parametrize("what", DIFFERENT)
def test_a_different_invocation_is_refused_and_the_difference_named(
    store: Store, name: dict[str, str], what: str
) -> None:
    first = post(store, **name)
    error = refused(store, f"another {what}", **name, **DIFFERENT[what])
    assert error.activation_id == first.activation_id
    assert [key for key, _ in error.differences] == [what]
    assert post(store, **name).attached
    both = refused(store, "another target and another payload", **name, **DIFFERENT["target"], payload="other")
    assert "skill 'a', input 'in'" in both.differences[0][1]


def test_a_property_that_is_null_is_not_one_that_is_missing(store: Store) -> None:
    post(store, key="k", properties={"a": None, "b": 1})
    error = refused(store, key="k", properties={"b": True})
    assert error.differences == (("properties", "these are not the same: a, b"),)


def test_a_failed_activation_does_not_bind_its_key_to_its_payload(store: Store) -> None:
    """What failed may be corrected."""
    first = post(store, "wrong", key="k")
    end(store, first, ActivationState.ERROR)
    refused(store, "another payload", payload="right", key="k", if_exists="attach")
    assert not post(store, "right", key="k").attached


def test_an_id_that_is_there_without_the_key_is_refused(store: Store) -> None:
    post(store, activation_id="mine")
    post(store, activation_id="other", key="k")
    assert refused(store, "another key", activation_id="mine", key="k").differences == (("key", "it had no key"),)
    refused(store, "another key", activation_id="other", key="l")
    assert post(store, activation_id="third", key="k").activation_id == "other"


def test_a_key_belongs_to_its_project_and_an_id_to_the_gateway(store: Store) -> None:
    first = post(store, activation_id="mine", key="k")
    store.write(
        lambda tx: tx.connection.execute("update activations set project_id = 'p' where activation_id = 'mine'")
    ).result()
    assert not post(store, key="k").attached
    error = refused(store, "taken", activation_id="mine")
    assert (error.activation_id, error.differences) == ("", ())
    assert "PENDING" not in error.message
    assert first.activation_id == "mine"


def test_many_at_once_start_one(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        begun = list(pool.map(lambda _: post(store, key="k"), range(100)))
    assert len({one.activation_id for one in begun}) == 1
    assert [one.attached for one in begun].count(False) == 1


def test_keys_outlive_the_process(tmp_path: Path, store: Store) -> None:
    first = post(store, key="k")
    other = Store(tmp_path / "state.db")
    assert post(other, key="k") == Invoked(activation_id=first.activation_id, attached=True)
    other.close()


@given(JSON, JSON)
def test_payloads_are_equal_when_their_values_are(one: Any, two: Any) -> None:
    def compact(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(item) for key, item in reversed(value.items())}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert _equal(compact(one), compact(turned(one)))
    assert _equal(compact(one), compact(two)) == (_spelled(one) == _spelled(two))

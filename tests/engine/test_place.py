"""The place of an activation that does not name one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.store import Store, activations
from tests.factories import agent_document, invoked, save_agent, save_skill, skill_document

PINNED = "registry.example.org/a@sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def place(store: Store, kind: str, name: str, executor: str = "local", *, is_placed: bool = False) -> str:
    activation_id = invoked(store, kind, name, executor=executor, is_placed=is_placed)
    activation = activations.find(store.read, activation_id)
    assert activation is not None
    return activation.executor


@pytest.mark.parametrize(
    ("image", "source", "executor"),
    [
        (PINNED, "", "docker"),
        ("a:7c89cae0d81d", "", "docker"),
        ("registry.example.org/a", "", "docker"),
        ("a", "", "local"),  # only the name of the future image
        (PINNED, "/files", "local"),
    ],
)
def test_what_has_an_image_and_no_files_runs_in_docker(store: Store, image: str, source: str, executor: str) -> None:
    save_skill(store, skill_document("a", image=image), source)
    assert place(store, "skill", "a") == executor


def test_who_names_a_place_gets_it(store: Store) -> None:
    save_skill(store, skill_document("a", image=PINNED), "")
    assert place(store, "skill", "a", is_placed=True) == "local"
    assert place(store, "skill", "a", "kubernetes") == "kubernetes"


def test_an_agent_runs_in_one_place(store: Store) -> None:
    save_skill(store, skill_document("a"), "/files")
    save_skill(store, skill_document("b", image=PINNED), "")
    save_agent(store, agent_document(["a", "b"], [("input", "a.in"), ("a.out", "b.in"), ("b.out", "output")]))
    assert place(store, "agent", "chain") == "docker"
    assert place(store, "skill", "a") == "local"

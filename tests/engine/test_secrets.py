"""Secrets: sealed in the store, opened for messages, rotated, and checked at the start."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.engine.secrets import Secrets, is_name
from fabric_jobs.errors import InvalidInput, NotFound, PlaceUnavailable
from fabric_jobs.sealing import Keys
from fabric_jobs.store import Store
from fabric_jobs.store import secrets as rows
from tests.engine.bench import Bench
from tests.factories import PROJECT, save_skill, skill_document


class Shelf:
    """A store with a key file, which can be opened again."""

    def __init__(self, directory: Path) -> None:
        self.key = directory / "secrets.key"
        self._directory = directory
        self.open()

    def open(self) -> None:
        """Open the store as an owner does."""
        self.store = Store(self._directory / "state.db")
        self.secrets = Secrets(self.store, Keys(self.key))

    def reopen(self) -> None:
        """Open it in another process."""
        self.store.close()
        self.open()

    def put(self, name: str, value: Any, project: str = PROJECT) -> None:
        """Store a secret, and wait for it."""
        self.secrets.put(project, name, value).result()

    def key_ids(self) -> set[str]:
        """Return which keys seal the secrets."""
        return {secret.key_id for secret in rows.of_all(self.store.read)}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize(
    "value", ["hunter2", "", 4711, 0, False, ["a", {"b": None}], {"value": "x", "more": 1}, 10**40]
)
def test_a_value_comes_back_as_it_was(shelf: Shelf, value: Any) -> None:
    shelf.put("k", value)
    shelf.reopen()
    shelf.secrets.check()
    assert shelf.secrets.value(PROJECT, "k") == value


def test_no_value_is_in_a_file(shelf: Shelf) -> None:
    shelf.put("k", "hunter2-and-more")
    shelf.store.close()
    for file in shelf.key.parent.rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes(), file
    shelf.open()


def test_projects_have_secrets_of_their_own(shelf: Shelf) -> None:
    shelf.put("k", "ours")
    shelf.put("k", "theirs", project="other")
    shelf.put("only", "x", project="other")
    assert shelf.secrets.value(PROJECT, "k") == "ours"
    assert [secret.name for secret in shelf.secrets.listed(PROJECT)] == ["k"]
    with pytest.raises(NotFound, match="no secret 'only'"):
        shelf.secrets.value(PROJECT, "only")
    assert shelf.secrets.delete(PROJECT, "k").result() is True
    assert shelf.secrets.delete(PROJECT, "k").result() is False
    assert shelf.secrets.value("other", "k") == "theirs"


@pytest.mark.parametrize("name", ["a", "a/b", "db.password-2/x_y", "_", "0", "a" * 255])
def test_names_as_fabrics_command_allows(shelf: Shelf, name: str) -> None:
    shelf.put(name, "v")
    assert shelf.secrets.value(PROJECT, name) == "v"


@pytest.mark.parametrize("name", ["", ".", "a..b", "../a", "a/", "/a", "a--b", "ä", "a b", "a\0", "a\n", "a" * 256])
def test_other_names_are_refused(shelf: Shelf, name: str) -> None:
    assert not is_name(name)
    with pytest.raises(InvalidInput, match="not a valid name of a secret"):
        shelf.secrets.put(PROJECT, name, "v")
    assert shelf.secrets.listed(PROJECT) == []


def test_a_wrong_or_missing_key_is_an_error_at_the_start_and_changes_nothing(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("k", "v")
    kept, row = shelf.key.read_bytes(), rows.of_all(shelf.store.read)
    (tmp_path / "other").mkdir()
    other = Keys(tmp_path / "other" / "secrets.key")
    other.seal("x")
    for content, reason in ((other.path.read_bytes(), "another key"), (None, "is missing")):
        shelf.key.unlink()
        if content is not None:
            shelf.key.write_bytes(content)
            shelf.key.chmod(0o600)
        shelf.reopen()
        with pytest.raises(PlaceUnavailable, match=reason):
            shelf.secrets.check()
        with pytest.raises(PlaceUnavailable, match="cannot be opened"):
            shelf.secrets.value(PROJECT, "k")
        assert (shelf.key.read_bytes() if shelf.key.exists() else None, rows.of_all(shelf.store.read)) == (content, row)
        shelf.key.write_bytes(kept)
    shelf.key.chmod(0o600)
    shelf.reopen()
    shelf.secrets.check()
    assert shelf.secrets.value(PROJECT, "k") == "v"


def test_a_new_key_replaces_the_old_one_everywhere(shelf: Shelf) -> None:
    for number in range(20):
        shelf.put(f"k{number}", f"v{number}", project=f"p{number % 3}")
    (old,) = shelf.key_ids()
    copy = shelf.key.read_bytes()
    assert shelf.secrets.rotate() == 20
    (new,) = shelf.key_ids()
    assert new != old
    assert shelf.key.read_bytes() != copy
    assert len(shelf.key.read_bytes().split()) == 1
    for _ in range(2):
        assert [shelf.secrets.value(f"p{number % 3}", f"k{number}") for number in range(20)] == [
            f"v{number}" for number in range(20)
        ]
        shelf.reopen()
        shelf.secrets.check()


def _rotate_and_die(directory: Path, step: str) -> None:
    """Replace the key in a process that is killed with -9 before or after a step."""
    when, _, name = step.partition(" ")
    owner: Any = Secrets if name == "_reseal" else Keys
    real = getattr(owner, name)

    def dying(*words: Any) -> None:
        if when == "after":
            real(*words)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)
    store = Store(directory / "state.db")
    Secrets(store, Keys(directory / "secrets.key")).rotate()


@pytest.mark.parametrize(
    ("step", "keys"),
    [("before add", 1), ("after add", 2), ("after _reseal", 2), ("before drop_old", 2), ("after drop_old", 1)],
)
def test_a_rotation_that_is_killed_loses_nothing(shelf: Shelf, step: str, keys: int) -> None:
    for number in range(10):
        shelf.put(f"k{number}", f"v{number}")
    shelf.store.close()
    words = (shelf.key.parent, step)
    dying = multiprocessing.get_context("spawn").Process(target=_rotate_and_die, args=words)
    dying.start()
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL
    shelf.open()
    assert len(shelf.key.read_bytes().split()) == keys
    shelf.secrets.check()
    assert [shelf.secrets.value(PROJECT, f"k{number}") for number in range(10)] == [
        f"v{number}" for number in range(10)
    ]
    shelf.put("later", "w")
    assert shelf.secrets.rotate() == 11
    assert (len(shelf.key.read_bytes().split()), len(shelf.key_ids())) == (1, 1)
    assert (shelf.secrets.value(PROJECT, "k0"), shelf.secrets.value(PROJECT, "later")) == ("v0", "w")


def test_what_is_set_while_keys_are_replaced_stays_readable(shelf: Shelf) -> None:
    shelf.put("first", 0)
    turning = [threading.Thread(target=shelf.secrets.rotate) for _ in range(4)]
    for thread in turning:
        thread.start()
    for number in range(50):
        shelf.put(f"k{number}", number)
    for thread in turning:
        thread.join()
    shelf.reopen()
    shelf.secrets.check()
    assert [shelf.secrets.value(PROJECT, f"k{number}") for number in range(50)] == list(range(50))


def test_texts_that_name_secrets_are_replaced_at_any_depth(shelf: Shelf) -> None:
    shelf.put("a/b", "one")
    shelf.put("pair", {"user": "me", "again": "#SECURE.a/b"})
    given = {"x": "#SECURE.a/b", "y": ["#SECURE.pair", {"z": "#SECURE.a/b"}], "plain": "a #SECURE.a/b", "n": 1}
    pair = {"user": "me", "again": "#SECURE.a/b"}  # a value is not looked into
    found = shelf.secrets.resolved(PROJECT, given)
    assert found == {"x": "one", "y": [pair, {"z": "one"}], "plain": "a #SECURE.a/b", "n": 1}
    assert given["x"] == "#SECURE.a/b"
    assert shelf.secrets.resolved(PROJECT, plain := {"x": [1]}) is plain
    for text in ("#SECURE.none", "#SECURE.", "#SECURE.a/b "):
        with pytest.raises(InvalidInput, match="there is no secret"):
            shelf.secrets.resolved(PROJECT, [text])


def test_masks_follow_what_is_set_and_deleted(shelf: Shelf) -> None:
    def shown() -> str:
        return shelf.secrets.masks(PROJECT).text("first second")

    assert shown() == "first second"
    shelf.put("a", "first")
    assert shown() == "***** second"
    shelf.put("b", "second", project="other")
    assert shown() == "***** second"
    shelf.put("a", "second")
    assert shown() == "first ******"
    shelf.secrets.delete(PROJECT, "a").result()
    assert shown() == "first second"


def test_a_damaged_secret_is_told_and_hides_nothing(shelf: Shelf) -> None:
    shelf.put("a", "first")
    (secret,) = shelf.secrets.listed(PROJECT)
    damaged = rows.SealedSecret(**{**secret.__dict__, "sealed": secret.sealed[:-8]})
    shelf.store.write(lambda tx: rows.put(tx, damaged)).result()
    with pytest.raises(PlaceUnavailable, match="'a' cannot be opened"):
        shelf.secrets.value(PROJECT, "a")
    with pytest.raises(PlaceUnavailable, match="'a' cannot be opened"):
        shelf.secrets.rotate()
    assert shelf.secrets.masks(PROJECT).text("first") == "first"
    shelf.put("a", "anew")
    shelf.secrets.rotate()
    assert shelf.secrets.value(PROJECT, "a") == "anew"


def with_key(bench: Bench, value: str = "#SECURE.key", **more: Any) -> None:
    document = skill_document("a")
    document["properties"] = [{"name": "key", "defaultValue": value, **more}]
    save_skill(bench.store, document)


def test_a_message_has_the_value_and_the_store_has_the_name(bench: Bench) -> None:
    bench.secrets.put(PROJECT, "key", "hunter2").result()
    with_key(bench)
    activation = bench.invoke("skill", "a")
    (process,) = bench.place.specs[bench.running("a.in").attempt_name].processes
    assert json.loads(process.arguments[0])["properties"] == {"key": "hunter2"}
    assert json.loads(process.environment["CORTEX_PAYLOAD"])["properties"] == {"key": "hunter2"}
    assert process.is_secret
    bench.finish("a.in")
    bench.ended(activation)
    with closing(sqlite3.connect(bench.store.path)) as connection:
        rows_as_text = "\n".join(connection.iterdump())
    assert "#SECURE.key" in rows_as_text
    assert "hunter2" not in rows_as_text


def test_an_ordinary_message_holds_no_secrets(bench: Bench) -> None:
    with_key(bench, "plain")
    bench.invoke("skill", "a")
    (process,) = bench.place.specs[bench.running("a.in").attempt_name].processes
    assert not process.is_secret


def test_an_invocation_without_its_secret_is_refused(bench: Bench) -> None:
    with_key(bench, validValues=["a"])
    with pytest.raises(InvalidInput, match=r"'key' is '#SECURE.key', but there is no such secret") as error:
        bench.invoke("skill", "a")
    assert "fabric-jobs secrets set key" in error.value.hint


def test_a_secret_that_is_deleted_meanwhile_fails_the_task(bench: Bench) -> None:
    bench.secrets.put(PROJECT, "key", "hunter2").result()
    with_key(bench)
    bench.place.unreachable = True
    activation = bench.invoke("skill", "a")
    bench.secrets.delete(PROJECT, "key").result()
    bench.place.unreachable = False
    bench.ended(activation)
    assert "there is no secret 'key'" in str(bench.activation(activation))

"""`serve` knows the skills and agents of its workspace without a command that saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import InvalidDefinition
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import Store, definitions
from fabric_jobs.workspace.registering import Registration
from tests.acceptance.live import Live

ECHO = "print(json.loads(sys.argv[1])['payload'])"


def test_what_a_workspace_holds_is_there_and_a_change_at_the_next_call(live: Live, tmp_path: Path) -> None:
    live.skill("echo", ECHO)
    live.skill("other", ECHO)
    live.agent("chain", ("input", "echo"), ("echo.response", "output"))
    live.start("serve", "--port", "0")
    address = live.published()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def call(code: int, kind: str, name: str) -> str:
        words = (kind, "invoke", name, "--payload", "5", "--url", address.url, "--token", address.token)
        ran = live.run(*words, "-q", cwd=elsewhere)
        assert ran.code == code, ran
        return ran.out + ran.err

    assert [each["name"] for each in live.get("/skills")["skills"]] == ["echo", "other"]
    assert [each["name"] for each in live.get("/agents")["agents"]] == ["chain"]
    assert call(0, "agents", "chain") == "5\n"
    path = live.root / "skills" / "echo" / "skill.yaml"
    right = json.loads(path.read_text())
    path.write_text(json.dumps({**right, "title": "Echo"}))
    shown = live.get("/skills/echo")
    assert (shown["title"], shown["_version"]) == ("Echo", 2)
    path.write_text(json.dumps({**right, "nonsense": 1}))
    for kind, name in (("skills", "echo"), ("agents", "chain")):
        assert "unknown key 'nonsense'" in call(2, kind, name)
    assert call(0, "skills", "other") == "5\n"  # a file affects only its own skill
    path.write_text(json.dumps(right))
    assert call(0, "skills", "echo") == "5\n"
    live.skill("new", ECHO)
    assert call(0, "skills", "new") == "5\n"


def test_what_was_published_stays_until_its_file_changes(live: Live, tmp_path: Path) -> None:
    live.skill("echo", ECHO)
    path = live.root / "skills" / "echo" / "skill.yaml"
    document: dict[str, Any] = json.loads(path.read_text())
    published = {**document, "title": "with its images"}
    store = Store(tmp_path / "db")

    def saved() -> SavedDefinition:
        found = definitions.find(store.read, "local", "skill", "echo")
        assert found is not None
        return found

    try:
        new = definitions.NewDefinition(project_id="local", kind="skill", name="echo", body=published)
        store.write(lambda tx: definitions.save(tx, new)).result()
        registration = Registration(live.root, store, "local", "local")
        for _ in range(2):
            registration.look()
            assert (saved().version, saved().body) == (1, published)
        path.write_text(json.dumps({**document, "title": "changed"}))
        for _ in range(2):
            registration.look()
            assert (saved().version, saved().body["title"], saved().source) == (2, "changed", str(path.parent))
    finally:
        store.close()


def test_each_api_of_a_file_is_registered_and_one_that_is_wrong_does_not_stop_the_others(
    live: Live, tmp_path: Path
) -> None:
    project = live.root / "skills" / "ml"
    project.mkdir(parents=True)
    score: dict[str, Any] = {"name": "score", "kind": "BatchAPI", "handler": {"path": "handler.py"}}
    train: dict[str, Any] = {"name": "train", "kind": "TaskAPI", "definition": {"path": "task.py"}}
    (project / "cortex.yaml").write_text(json.dumps([score, train]))
    store = Store(tmp_path / "db")

    def saved(name: str) -> SavedDefinition:
        found = definitions.find(store.read, "local", "skill", name)
        assert found is not None
        return found

    try:
        registration = Registration(live.root, store, "local", "docker")  # where other skills would need an image
        registration.look()
        assert (saved("score").body, saved("score").source) == ({"name": "score", "api": score}, str(project))
        assert saved("train").body == {"name": "train", "api": train}
        wrong = {**score, "handler": {"path": "handler.txt"}}
        (project / "cortex.yaml").write_text(json.dumps([wrong, {**train, "definition": {"path": "other.py"}}]))
        registration.look()
        assert (saved("score").version, saved("train").version) == (1, 2)
        registration.check("skill", ["train"])
        with pytest.raises(InvalidDefinition, match=r"must end with \.py or \.pickle"):
            registration.check("skill", ["score"])
    finally:
        store.close()

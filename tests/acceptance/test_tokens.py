"""Personal tokens and projects, by the commands."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.client.token_files import TokenFile
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.personal_tokens import new_key, thumbprint
from tests.acceptance.live import Live, laptop_of, names


@pytest.fixture
def laptop(live: Live, tmp_path: Path) -> Iterator[Live]:
    """Yield another workspace than the served one, whose user has a token file at most."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    with laptop_of(live, tmp_path) as made:
        yield made


def test_a_token_file_is_in_fabrics_form_and_a_profile(live: Live, laptop: Live, tmp_path: Path) -> None:
    file = tmp_path / "nightly.json"
    made = live.ok("tokens", "create", "nightly", "--file", file)
    assert made.out == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    document = json.loads(file.read_text())
    assert {key: document[key] for key in ("issuer", "audience", "username", "url")} == {
        "issuer": "cognitivescale.com",
        "audience": "cortex",
        "username": "nightly",
        "url": f"{live.published().url}/px",
    }
    assert document["jwk"].keys() == {"kty", "crv", "x", "d", "kid"}
    assert document["jwk"]["kid"] == thumbprint(document["jwk"]["x"])
    assert f"--profile {file}" in made.err
    address = live.published().url.replace("127.0.0.1", "localhost")
    other = live.ok("tokens", "create", "other", "--address", f"{address}/")
    assert other.value["url"] == f"{address}/px"
    assert "'jobs.example.org' is not" in live.fails(2, "tokens", "create", "third", "--address", "jobs.example.org")
    assert laptop.invoke("echo", 2, "--profile", file)["response"] == "2"
    found = laptop.ok("activations", "list", "--profile", file, "-o", "json").value
    assert len(found) == 2
    assert live.ok("activations", "show", found[0]["activationId"], "-o", "json").value["username"] == "nightly"
    assert "role 'admin'" in laptop.fails(5, "tokens", "list", "--profile", file)
    assert "in owner.json" in laptop.fails(5, "state", "size", "--profile", file)
    assert not laptop.state.exists()
    assert live.ok("tokens", "revoke", "nightly").err == "Token 'nightly' is revoked.\n"
    assert "revoked" in laptop.fails(5, "activations", "list", "--profile", file)


def test_an_admin_publishes_and_makes_tokens(live: Live, laptop: Live, tmp_path: Path) -> None:
    file = tmp_path / "admin.json"
    file.write_text(live.ok("tokens", "create", "anna@example.org", "--role", "admin", "--expires", "1h").out)
    file.chmod(0o600)
    made = laptop.ok("tokens", "create", "reader", "--role", "read", "--expires", "never", "--profile", file)
    reader = tmp_path / "reader.json"
    reader.write_text(made.out)
    reader.chmod(0o600)
    assert json.loads(made.out)["url"] == json.loads(file.read_text())["url"]
    listed = laptop.ok("tokens", "list", "--profile", file, "-o", "json").value
    assert [(token["name"], token["role"], token["createdBy"]) for token in listed] == [
        ("anna@example.org", "admin", "local"),
        ("reader", "read", "anna@example.org"),
    ]
    assert [token["expiresAt"] is None for token in listed] == [False, True]
    table = live.ok("tokens", "list").out.splitlines()
    assert table[0].split() == ["NAME", "ROLE", "EXPIRES", "CREATED", "BY"]
    assert "never" in table[2]
    laptop.ok("skills", "list", "--profile", reader)
    assert "role 'run'" in laptop.fails(5, "skills", "invoke", "echo", "--payload", "1", "--profile", reader)


def test_a_project_has_tokens_of_its_own(live: Live, laptop: Live, tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    assert "tokens create NAME --project lab" in live.ok("projects", "create", "lab", "--title", "The lab").err
    live.ok("tokens", "create", "bob", "--project", "lab", "--file", file)
    assert laptop.ok("projects", "list", "--profile", file, "-o", "json").value == [
        {"name": "lab", "title": "The lab", "description": ""}
    ]
    assert laptop.ok("activations", "list", "--profile", file, "-o", "json").value == []
    assert "no skill 'echo'" in laptop.fails(3, "skills", "invoke", "echo", "--payload", "1", "--profile", file)
    assert names(live.ok("tokens", "list", "-o", "json").value) == []
    assert names(live.ok("tokens", "list", "--project", "lab", "-o", "json").value) == ["bob"]
    assert "only the user" in laptop.fails(5, "projects", "delete", "lab", "--profile", file)
    assert names(live.ok("projects", "list", "-o", "json").value) == ["lab", "local"]
    live.ok("projects", "delete", "lab")
    assert "revoked" in laptop.fails(5, "projects", "list", "--profile", file)


def test_what_cannot_be_made_leaves_nothing(live: Live, laptop: Live, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    assert "no project 'none'" in live.fails(3, "tokens", "create", "nightly", "--project", "none", "--file", file)
    assert "letters" in live.fails(2, "tokens", "create", "a b", "--file", file)
    assert not file.exists()
    file.write_text("mine")
    assert "exists" in live.fails(2, "tokens", "create", "nightly", "--file", file)
    assert file.read_text() == "mine"
    assert "cannot be written" in live.fails(2, "tokens", "create", "nightly", "--file", tmp_path / "none" / "x.json")
    assert live.ok("tokens", "list", "-o", "json").value == []
    assert "no personal tokens" in live.ok("tokens", "list").err
    for words in (("--expires", "soon"), ("--role", "owner"), ("--expires", "0s")):
        assert live.fails(2, "tokens", "create", "nightly", *words)
    live.ok("tokens", "create", "nightly")
    assert "already" in live.fails(2, "tokens", "create", "nightly")
    assert "no token 'none'" in live.fails(3, "tokens", "revoke", "none")
    live.ok("projects", "create", "lab")
    live.ok("projects", "create", "lab")
    assert "already" in live.fails(2, "projects", "create", "lab", "--title", "Another")
    assert "no project 'none'" in live.fails(3, "projects", "delete", "none")
    assert "stays" in live.fails(2, "projects", "delete", "local")


def test_token_files_that_are_none(live: Live, laptop: Live, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    good = live.ok("tokens", "create", "nightly").out
    file.write_text(good)
    file.chmod(0o644)
    assert "chmod 600" in laptop.fails(2, "activations", "list", "--profile", file)
    file.chmod(0o600)
    laptop.ok("activations", "list", "--profile", file)
    assert "no token file" in laptop.fails(3, "activations", "list", "--profile", tmp_path / "none.json")
    document = json.loads(good)
    for wrong in (
        "",
        "[]",
        "null",
        "{",
        "[" * 5000,
        json.dumps({**document, "jwk": None}),
        json.dumps({**document, "jwk": {**document["jwk"], "d": "short"}}),
        json.dumps({**document, "jwk": {**document["jwk"], "kid": "another"}}),
        json.dumps({**document, "jwk": {**document["jwk"], "x": new_key()["x"]}}),
        json.dumps({**document, "project": 7}),
        json.dumps({key: value for key, value in document.items() if key != "url"}),
    ):
        file.write_text(wrong)
        assert "not a token file" in laptop.fails(2, "activations", "list", "--profile", file), wrong
    file.write_text(json.dumps({**document, "url": "nowhere"}))
    assert "address" in laptop.fails(2, "activations", "list", "--profile", file)


def test_reading_and_writing_a_token_file(tmp_path: Path) -> None:
    made = TokenFile(url="http://x/px", username="anna", key=new_key(), project_id="lab")
    path = tmp_path / "t.json"
    before = os.umask(0)
    try:
        made.write(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TokenFile.read(path) == made
    with pytest.raises(InvalidInput, match="exists"):
        made.write(path)
    with pytest.raises(NotFound):
        TokenFile.read(tmp_path / "none")

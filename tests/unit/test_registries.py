"""The registries of a user, and whether docker has credentials for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fabric_jobs.docker.credentials import has_credentials
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound
from fabric_jobs.images.names import repository
from fabric_jobs.images.registries import (
    Registry,
    activate,
    active,
    add,
    new_registry,
    read_registries,
    registries_file,
    remove,
)


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


def test_without_a_file_none_is_active() -> None:
    assert active() is None
    assert read_registries().known == {}


def test_the_first_one_becomes_active_and_activating_another_one_has_an_effect() -> None:
    lab = new_registry("lab", "localhost:5000", "flights")
    assert add(lab)
    assert not add(new_registry("cloud", "registry.example.org"))
    assert active() == lab
    assert activate("cloud").url == "registry.example.org"
    assert repository("word-count", active()) == "registry.example.org/word-count"
    activate("lab")
    assert repository("word-count", active()) == "localhost:5000/flights/word-count"


def test_the_file_is_for_its_user_only_and_leaves_nothing_beside_it() -> None:
    add(new_registry("lab", "localhost:5000"))
    assert registries_file().stat().st_mode & 0o777 == 0o600
    assert [path.name for path in registries_file().parent.iterdir()] == ["registries.toml"]


def test_removing_the_active_one_leaves_none_active() -> None:
    add(new_registry("lab", "localhost:5000"))
    add(new_registry("cloud", "registry.example.org"))
    assert not remove("cloud")
    assert remove("lab")
    assert active() is None


def test_none_becomes_active_by_itself_once_one_was_removed() -> None:
    add(new_registry("lab", "localhost:5000"))
    add(new_registry("cloud", "registry.example.org"))
    remove("lab")
    assert not add(new_registry("other", "other.example.org"))
    assert active() is None


def test_the_same_one_may_be_added_again_and_another_one_may_not_take_its_name() -> None:
    lab = new_registry("lab", "localhost:5000")
    assert add(lab)
    assert add(lab)
    with pytest.raises(AlreadyExists, match="localhost:5000, not as localhost:5000/flights"):
        add(new_registry("lab", "localhost:5000", "flights"))
    assert read_registries().known == {"lab": lab}


def test_an_unknown_one_is_not_found_and_the_nearest_is_told() -> None:
    add(new_registry("cloud", "registry.example.org"))
    with pytest.raises(NotFound) as caught:
        activate("clod")
    assert "Did you mean 'cloud'?" in caught.value.hint
    with pytest.raises(NotFound):
        remove("lab")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("localhost", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("http://localhost:5000/", "localhost:5000"),
        ("HTTPS://Registry.Example.ORG/team", "registry.example.org/team"),
        ("docker.io", "docker.io"),
        ("10.0.0.7:5000", "10.0.0.7:5000"),
        ("[::1]:5000", "[::1]:5000"),
        (" registry.example.org ", "registry.example.org"),
    ],
)
def test_addresses(given: str, kept: str) -> None:
    assert new_registry("lab", given).url == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "https://",
        "ftp://localhost:5000",
        "registry",  # docker would read it as a user of Docker Hub
        "localhost:0",
        "localhost:99999",
        "localhost:port",
        "me:secret@localhost:5000",
        "localhost:5000/a b",
        "localhost:5000/a//b",
        "localhost:5000/-a",
        "-a.example.org",
        "a.example.org?x=1",
    ],
)
def test_addresses_that_are_none(given: str) -> None:
    with pytest.raises(InvalidInput, match="registry"):
        new_registry("lab", given)


@pytest.mark.parametrize("namespace", ["Team", "a b", "-a", "a//b", "a:b", "a@b"])
def test_namespaces_that_are_none(namespace: str) -> None:
    with pytest.raises(InvalidInput, match="namespace"):
        new_registry("lab", "localhost:5000", namespace)


def test_a_namespace_may_have_parts_and_slashes_around_it() -> None:
    assert new_registry("lab", "localhost:5000", "/team/flights/").namespace == "team/flights"


def test_names_that_are_none() -> None:
    with pytest.raises(InvalidInput, match="name of a registry"):
        new_registry("my lab", "localhost:5000")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[registries\n", "cannot be read"),
        ('active = "lab"\n', "the active registry 'lab' is not in it"),
        ('[registries.lab]\nurl = "localhost:5000"\npassword = "x"\n', "unknown key 'password'"),
        ("[registries.lab]\nurl = 5000\n", "every value must be text"),
        ('[registries.lab]\nurl = "a b"\n', "'a b' is not the address"),
        ("registries = 3\n", "cannot be read"),
    ],
)
def test_a_file_that_is_rubbish_is_an_error_and_stays_as_it_is(text: str, what: str) -> None:
    registries_file().parent.mkdir()
    registries_file().write_text(text)
    with pytest.raises(InvalidInput, match=what):
        active()
    with pytest.raises(InvalidInput, match=what):
        add(new_registry("cloud", "registry.example.org"))
    assert registries_file().read_text() == text


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FABRIC_JOBS_CONFIG_DIR", str(tmp_path / "file" / "config"))
    with pytest.raises(InvalidInput, match=r"cannot be (read|written)"):
        add(new_registry("lab", "localhost:5000"))


def test_the_host_is_that_of_the_credentials() -> None:
    assert Registry(name="lab", url="registry.example.org:5000/team").host == "registry.example.org:5000"


def write_config(tmp_path: Path, config: object) -> None:
    """Write docker's own settings."""
    (tmp_path / "docker").mkdir(exist_ok=True)
    (tmp_path / "docker" / "config.json").write_text(json.dumps(config))


def test_without_settings_of_docker_there_are_no_credentials() -> None:
    assert has_credentials("localhost:5000") is False


@pytest.mark.parametrize(
    ("config", "host", "found"),
    [
        ({"auths": {"localhost:5000": {"auth": "eDp5"}}}, "localhost:5000", True),
        ({"auths": {"localhost:5000": {"auth": "eDp5"}}}, "localhost:5001", False),
        ({"auths": {"localhost:5000": {}}}, "localhost:5000", False),
        ({"auths": {"https://registry.example.org/v2/": {"identitytoken": "x"}}}, "registry.example.org", True),
        ({"auths": {"https://index.docker.io/v1/": {"auth": "eDp5"}}}, "docker.io", True),
        ({"auths": None}, "docker.io", False),
        ([], "docker.io", None),
        ({"auths": ["x"]}, "docker.io", None),
        ({"credsStore": "none-of-this-name"}, "docker.io", None),
    ],
)
def test_credentials_are_looked_for_in_the_settings_of_docker(
    tmp_path: Path, config: object, host: str, found: bool | None
) -> None:
    write_config(tmp_path, config)
    assert has_credentials(host) is found


@pytest.mark.parametrize(
    "config", [{"credsStore": "ours"}, {"credHelpers": {"registry.example.org": "ours"}, "credsStore": "nothing"}]
)
def test_a_credential_helper_is_asked_for_the_servers_that_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: object
) -> None:
    write_config(tmp_path, config)
    helper = tmp_path / "bin" / "docker-credential-ours"
    helper.parent.mkdir()
    helper.write_text('#!/bin/sh\n[ "$1" = list ] && echo \'{"https://registry.example.org": "me"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:/usr/bin:/bin")
    assert has_credentials("registry.example.org") is True
    if "credHelpers" not in str(config):
        assert has_credentials("localhost:5000") is False

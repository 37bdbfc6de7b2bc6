"""The commands with a remote gateway."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fabric_jobs.client.remote import Remote
from fabric_jobs.errors import InvalidInput
from tests.acceptance.live import Live, laptop_of, names

ECHO = "print(message()['payload'], end='')"


@pytest.fixture
def laptop(live: Live, tmp_path: Path) -> Iterator[Live]:
    """Yield another workspace than the served one."""
    with laptop_of(live, tmp_path) as made:
        yield made


def test_commands_reach_it_by_address_and_by_profile(live: Live, laptop: Live, tmp_path: Path) -> None:
    address = live.published()
    laptop.ok("profiles", "set", "lab", "--url", address.url, "--token", "-", stdin=f"{address.token}\n")
    assert (tmp_path / "config" / "profiles.toml").stat().st_mode & 0o777 == 0o600
    listed = laptop.ok("profiles", "list", "--output", "json")
    assert listed.value == [{"name": "lab", "url": address.url, "project": "local"}]
    assert laptop.invoke("echo", 2, "--profile", "lab")["response"] == "2"
    variables = {"FABRIC_JOBS_URL": address.url, "FABRIC_JOBS_TOKEN": address.token}
    activation = laptop.ok("skills", "invoke", "echo", "--payload", "3", "--detach", **variables).out.strip()
    waited = laptop.ok("activations", "wait", activation, FABRIC_JOBS_PROFILE="lab")
    assert waited.out == "3\n"
    assert laptop.ok("tasks", "logs", "echo", "--activation", activation, "--profile", "lab").out == "3"
    assert "echo" in laptop.ok("skills", "list", "--profile", "lab").out
    assert not laptop.state.exists()
    laptop.ok("profiles", "remove", "lab")
    assert "lab" in laptop.fails(3, "profiles", "remove", "lab")


def test_a_typed_state_directory_wins_over_variables(live: Live, laptop: Live) -> None:
    variables = {"FABRIC_JOBS_URL": "http://127.0.0.1:9", "FABRIC_JOBS_TOKEN": "x"}
    listed = laptop.ok("activations", "list", "--state-dir", live.state, "--output", "json", **variables)
    assert len(listed.value) == 1
    said = laptop.fails(2, "activations", "list", "--state-dir", live.state, "--url", "http://127.0.0.1:9")
    assert "--url and --state-dir" in said


def test_options_that_decide_nothing_are_refused(live: Live, laptop: Live) -> None:
    address = live.published()
    laptop.ok("profiles", "set", "lab", "--url", address.url, "--token", "old")
    assert laptop.ok("activations", "list", "--profile", "lab", "--token", address.token, "-o", "json").value
    assert "--url or --profile" in laptop.fails(2, "activations", "list", "--token", "x")
    for words in (("activations", "list"), ("skills", "list"), ("state", "size")):
        assert "no effect" in laptop.fails(2, *words, "--workspace", ".", "--profile", "lab")
    assert "no effect" in laptop.fails(2, "tasks", "list", "--workspace", ".", "--state-dir", live.state)
    assert not laptop.state.exists()


@pytest.mark.parametrize("url", ["nowhere", "ftp://x", "http://", "http://x:99999", "http://x y", "http://[x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="address"):
        Remote(url=url, token="x").check()


def test_what_cannot_work_is_said(live: Live, laptop: Live) -> None:
    address = live.published()
    assert "no token" in laptop.fails(2, "activations", "list", "--url", address.url)
    assert "token" in laptop.fails(5, "activations", "list", "--url", address.url, "--token", "wrong")
    assert "refused" in laptop.fails(5, "activations", "list", "--url", "http://127.0.0.1:9", "--token", "x")
    place = ("--url", address.url, "--token", address.token)
    said = laptop.fails(3, "skills", "invoke", "ecko", "--payload", "1", *place)
    assert "the gateway has no skill 'ecko'" in said
    assert "Did you mean 'echo'?" in said
    directory = laptop.root / "config"
    directory.mkdir()
    (directory / "profiles.toml").write_text("[profiles\n")
    assert "profiles.toml" in laptop.fails(2, "profiles", "list", FABRIC_JOBS_CONFIG_DIR=str(directory))


def test_an_invocation_changes_nothing_there_unless_it_says_save(live: Live, laptop: Live) -> None:
    live.agent("both", ("input", "echo"), ("echo", "output"))
    live.invoke("both", 0, kind="agents")
    address = live.published()
    place = ("--url", address.url, "--token", address.token)
    laptop.skill("echo", ECHO)
    laptop.agent("both", ("input", "echo"), ("echo", "output"))
    same = laptop.ok("agents", "invoke", "both", "--payload", "4", "-q", *place)
    assert (same.out, same.err) == ("4\n", "")

    laptop.skill("echo", ECHO, timeout=9)  # the same program with another definition
    laptop.agent("both", ("input", "echo"), ("echo", "output"), properties={"colour": "red"})
    before = [live.get(path) for path in ("/skills/echo", "/agents/both")]
    for kind, name in (("agents", "both"), ("skills", "echo")):
        ran = laptop.ok(kind, "invoke", name, "--payload", "5", "-q", *place)
        assert ran.out == "5\n"
        assert "skill 'echo' differs there from skills/echo/skill.yaml: actions[0].timeout" in ran.err
        assert ("agent 'both' differs there" in ran.err) == (kind == "agents")
    laptop.skill("mine", ECHO)
    assert "--save" in laptop.fails(3, "skills", "invoke", "mine", "--payload", "1", *place)
    assert [live.get(path) for path in ("/skills/echo", "/agents/both")] == before
    assert names(live.get("/skills")["skills"]) == ["echo"]

    saved = laptop.run("skills", "invoke", "mine", "--payload", "1", "--save", *place)
    assert (saved.code, "saved without its files" in saved.err) == (1, True)
    laptop.run("agents", "invoke", "both", "--payload", "1", "--save", *place)
    assert [live.get(path)["_version"] for path in ("/skills/echo", "/agents/both")] == [2, 2]


def test_tests_run_what_is_there_and_change_nothing(live: Live, laptop: Live) -> None:
    address = live.published()
    laptop.skill("echo", "print('other')", timeout=9)
    case = laptop.root / "skills/echo/invoke/request"
    case.mkdir(parents=True)
    (case / "message.json").write_text('{"payload": 7}')
    (case / "expected.json").write_text('"7"')
    ran = laptop.ok("skills", "test", "--url", address.url, "--token", address.token)
    assert "skill 'echo' differs there" in ran.err
    assert live.get("/skills/echo")["_version"] == 1


def test_save_is_for_a_remote_gateway(live: Live) -> None:
    live.skill("echo", ECHO)
    assert "remote gateway" in live.fails(2, "skills", "invoke", "echo", "--payload", "1", "--save")


@pytest.fixture
def certified(live: Live, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield address and certificate of a TLS proxy in front of the gateway."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *words], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    live.ok("activations", "list")
    host, _, port = live.published().url.removeprefix("http://").partition(":")

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                incoming, _ = listener.accept()
                with suppress(OSError):  # a client that does not trust the certificate
                    inside = context.wrap_socket(incoming, server_side=True)
                    outside = socket.create_connection((host, int(port)))
                    for one, other in ((inside, outside), (outside, inside)):
                        threading.Thread(target=pump, args=(one, other), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://localhost:{listener.getsockname()[1]}", certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def pump(one: socket.socket, other: socket.socket) -> None:
    """Forward data until one side has ended."""
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
    one.close()


def test_tls_is_used_and_checked(live: Live, laptop: Live, certified: tuple[str, Path]) -> None:
    url, certificate = certified
    words = ("activations", "list", "--output", "json", "--url", url, "--token", live.published().token)
    listed = laptop.ok(*words, SSL_CERT_FILE=str(certificate))
    assert len(json.loads(listed.out)) == 1
    assert "certificate" in laptop.fails(5, *words).lower()

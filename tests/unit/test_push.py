"""How far a push is, read from what docker draws on a terminal; and commands that are run on one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from fabric_jobs.errors import FabricJobsError, NotAllowed, PlaceUnavailable
from fabric_jobs.images.push import DIGEST, Pushing, push
from fabric_jobs.images.terminal import TerminalProcess

ONE, TWO = "126c3597b351", "1896fcc014d7"


def read(*lines: str) -> Pushing:
    """Return what lines of docker's come to."""
    pushing = Pushing(layers={})
    for line in lines:
        pushing = pushing.read(line) or pushing
    return pushing


def test_layers_are_counted_and_their_bytes_added() -> None:
    found = read(
        "The push refers to repository [localhost:5000/x]",
        f"{ONE}: Preparing",
        f"{TWO}: Waiting",
        f"{ONE}: Pushing [=>       ]  33.28kB/1MB",
        f"{TWO}: Pushing [>        ]  1.5MB/30MB",
    )
    assert (found.done, len(found.layers), found.sent_bytes, found.all_bytes) == (0, 2, 1_533_280.0, 31_000_000.0)


def test_a_layer_that_is_there_counts_as_done() -> None:
    found = read(
        f"{ONE}: Pushing [========>]  1.002MB/1MB",
        f"{ONE}: Pushing [========>]  1.1MB",
        f"{ONE}: Pushed",
        f"{TWO}: Layer already exists",
        "0123456789ab: Mounted from flights/other",
    )
    assert (found.done, found.sent_bytes, found.all_bytes) == (3, 1_000_000.0, 1_000_000.0)


def test_a_connection_that_broke_is_noted_until_it_goes_on() -> None:
    broken = read(f"{ONE}: Pushing [=>   ]  3MB/10MB", f"{ONE}: Retrying in 5 seconds")
    assert broken.note == "the connection broke, retrying in 5 seconds"
    assert read(f"{ONE}: Retrying in 1 second", f"{ONE}: Pushing [=>   ]  3MB/10MB").note == ""


def test_what_is_about_no_layer_is_not_read() -> None:
    assert Pushing(layers={}).read("no basic auth credentials") is None
    assert Pushing(layers={}).read("") is None


def test_a_tag_that_looks_like_a_layer_has_a_digest_all_the_same() -> None:
    found = DIGEST.fullmatch(f"507d671b5a2f: digest: sha256:{'a' * 64} size: 740")
    assert found is not None
    assert found[1] == f"sha256:{'a' * 64}"


def test_a_command_on_a_terminal_is_read_line_by_line() -> None:
    program = r"import sys; print('one\r\x1b[1A\x1b[2Ktwo', sys.stdout.isatty()); sys.exit(3)"
    with TerminalProcess((sys.executable, "-c", program)) as process:
        assert [line for line in process.lines() if line] == ["one", "two True"]
        assert process.wait() == 3


def test_a_command_ends_with_the_block_that_reads_it() -> None:
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with TerminalProcess((sys.executable, "-c", program)) as process:
        pid = int(next(process.lines()))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


REFERENCE = "localhost:5000/flights/one:507d671b5a2f"
OURS, OTHERS = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.fixture
def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command that says what is in its files, and knows the image under one digest."""
    command = tmp_path / "docker"
    command.write_text(
        f"#!/bin/sh\ncd {tmp_path}\n"
        'case "$1 $2 $4" in\n'
        "  'image inspect '*RepoTags*) cat names ;;\n"
        "  'image inspect '*RepoDigests*) cat digests ;;\n"
        "  *) cat said; exit $(cat code) ;;\n"
        "esac\n"
    )
    command.chmod(0o755)
    (tmp_path / "names").write_text(json.dumps(["sha256:1", [REFERENCE], {}]))
    (tmp_path / "digests").write_text(json.dumps(["sha256:1", [f"{REFERENCE.rpartition(':')[0]}@{OURS}"]]))
    (tmp_path / "code").write_text("1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "kind", "message", "hint"),
    [
        ("no basic auth credentials", NotAllowed, "cannot be pushed: no basic", "docker login localhost:5000"),
        ("denied: requested access to the resource is denied", NotAllowed, "denied", "docker login localhost:5000"),
        ("unauthorized: authentication required", NotAllowed, "unauthorized", "docker login"),
        (f"{ONE}: Preparing\ndial tcp: connection refused", PlaceUnavailable, "pushed: dial tcp", "Check the registry"),
        ("received unexpected HTTP status: 500", PlaceUnavailable, "500", "nothing was recorded"),
        ("An image does not exist locally with the tag: x", PlaceUnavailable, "has .* no more", "Build it again"),
        ("Cannot connect to the Docker daemon at unix:///x.", PlaceUnavailable, "engine cannot be used", "Start"),
        ("permission denied while trying to connect to it", PlaceUnavailable, "engine cannot be used", "group"),
        ("", PlaceUnavailable, "docker push ended with exit code 1", "nothing was recorded"),
    ],
)
def test_what_docker_says_of_a_push_that_failed(
    fake_docker: Path, said: str, kind: type[FabricJobsError], message: str, hint: str
) -> None:
    (fake_docker / "said").write_text(f"The push refers to repository [localhost:5000/flights/one]\n{said}\n")
    with pytest.raises(kind, match=message) as caught:
        push(REFERENCE, lambda now: None)
    assert hint in caught.value.hint


@pytest.mark.parametrize("said", ["", f"507d671b5a2f: digest: {OURS} size: 740\n"])
def test_the_digest_is_that_of_the_repository(fake_docker: Path, said: str) -> None:
    (fake_docker / "code").write_text("0")
    (fake_docker / "said").write_text(f"{ONE}: Pushed\n{said}")
    seen: list[Pushing] = []
    assert push(REFERENCE, seen.append) == OURS
    assert seen[-1].done == 1


@pytest.mark.parametrize(
    "known",
    [[f"{REFERENCE.rpartition(':')[0]}@{OTHERS}"], [f"localhost:5000/other@{OURS}"], [], None],
)
def test_a_digest_that_does_not_belong_to_the_repository_is_an_error(
    fake_docker: Path, known: list[str] | None
) -> None:
    (fake_docker / "code").write_text("0")
    (fake_docker / "said").write_text(f"507d671b5a2f: digest: {OURS} size: 740\n")
    (fake_docker / "digests").write_text(json.dumps(["sha256:1", known]))
    with pytest.raises(PlaceUnavailable, match="cannot tell under which digest"):
        push(REFERENCE, lambda now: None)

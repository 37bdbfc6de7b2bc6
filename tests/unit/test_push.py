"""How far a push is, read from what docker draws on a terminal; and commands that are run on one."""

from __future__ import annotations

import os
import sys

import pytest

from fabric_jobs.images.push import DIGEST, Pushing
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

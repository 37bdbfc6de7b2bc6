"""Fetches a git repository with `git`: shallow, without prompts, with a timeout."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from fabric_jobs.durations import spelled
from fabric_jobs.errors import FabricJobsError, NotFound, PlaceUnavailable

FETCH_SECONDS = 120.0  # in all; templates are small
REPORT_SECONDS = 0.5  # between two progress reports

Progress = Callable[[str], None]  # gets lines that each replace the one before; the last is empty

REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*")
# Inside a git hook these name the caller's repository, and git would write to that one.
REPOSITORY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
BY_HAND = "Or fetch it yourself and name the directory."
# Messages of git, in any version, and their meaning.
NO_REF = ("couldn't find remote ref", "not our ref", "no such remote ref")
NO_REPOSITORY = ("does not appear to be a git repository", "does not exist", "not found", "is not valid: is this a git")
NO_ENTRY = ("could not read username", "could not read password", "authentication failed", "permission denied")
NO_NETWORK = ("could not resolve", "failed to connect", "couldn't connect", "unable to connect", "connection refused")


def is_ref(text: str) -> bool:
    """Tell whether `text` can name a branch, a tag or a commit. An empty text means the default branch."""
    return not text or (REF.fullmatch(text) is not None and ".." not in text)


def is_bare(directory: Path) -> bool:
    """Tell whether a directory is a git repository without a working tree."""
    return all((directory / name).exists() for name in ("HEAD", "objects", "refs"))


def fetch(url: str, ref: str, directory: Path, progress: Progress, *, shown: str) -> None:
    """Put the files of one commit of a repository into the empty `directory`; `shown` names the repository in messages.

    Raise NotFound if there is no such repository or ref, PlaceUnavailable if it cannot be fetched.
    """
    progress(f"Fetching {shown} …")
    try:
        _fetch(url, ref, directory, progress, shown)
    finally:
        progress("")


def _fetch(url: str, ref: str, directory: Path, progress: Progress, shown: str) -> None:
    # Unlike `git clone --branch`, this accepts a commit, too.
    for words in (
        ("init", "--quiet", "--template="),
        ("fetch", "--quiet", "--progress", "--depth=1", "--no-tags", "--", url, ref or "HEAD"),
        ("checkout", "--quiet", "FETCH_HEAD"),
    ):
        code, said = _run(words, directory, progress)
        if code:
            raise _explained(said, ref, shown)


def _run(words: tuple[str, ...], directory: Path, progress: Progress) -> tuple[int, str]:
    deadline = time.monotonic() + FETCH_SECONDS
    with TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                ("git", "-c", "gc.auto=0", "-c", "maintenance.auto=false", *words),
                cwd=directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # without a terminal ssh cannot prompt; and all processes end together
            )
        except FileNotFoundError as error:
            raise PlaceUnavailable(
                "fetching a template from a URL needs git, which is not installed.",
                hint="Install git, or name a directory instead of a URL.",
            ) from error
        try:
            while process.poll() is None:
                _wait(process, deadline)
                if line := _last_line(_text(output)):
                    progress(line)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # and all processes that it has started
                process.wait()
        return process.returncode, _text(output)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(min(REPORT_SECONDS, max(deadline - time.monotonic(), 0)))
    if process.poll() is None and time.monotonic() >= deadline:
        raise PlaceUnavailable(
            f"git has not fetched the template within {spelled(FETCH_SECONDS)}.", hint=f"Try again later. {BY_HAND}"
        )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in REPOSITORY_VARIABLES}
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "SSH_ASKPASS_REQUIRE": "never"}
    return {**kept, **quiet, "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh", "LC_ALL": "C"}


def _text(output: IO[bytes]) -> str:
    # Not seek(): it would move git's position in the same file.
    return os.pread(output.fileno(), 1 << 20, 0).decode(errors="replace")


def _last_line(said: str) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]", said) if line.strip()]
    return lines[-1] if lines else ""


def _explained(said: str, ref: str, shown: str) -> FabricJobsError:
    low = said.lower()
    if any(words in low for words in NO_REF):
        what = f"branch, tag or commit '{ref}'" if ref else "commit"
        return NotFound(f"{shown}: the repository has no {what}.", hint="Name a commit by its full id.")
    if any(words in low for words in NO_ENTRY):
        return PlaceUnavailable(
            f"{shown} requires a login, and git has no credentials for it.",
            hint=f"Check the address, or set up a credential helper for git or a key for ssh. {BY_HAND}",
        )
    if any(words in low for words in NO_NETWORK):
        return PlaceUnavailable(f"{shown} cannot be reached: {_reason(said)}", hint=f"Check the network. {BY_HAND}")
    if any(words in low for words in NO_REPOSITORY):
        return NotFound(f"there is no git repository at {shown}.", hint="Check the address.")
    return PlaceUnavailable(f"git cannot fetch {shown}: {_reason(said)}", hint=BY_HAND)


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith(("fatal: ", "error: "))]
    return re.sub(r"://[^/@\s]*@", "://", lines[0].partition(": ")[2] if lines else _last_line(said))

"""Tells authors what a Dockerfile does only when an image is built: its base image and its RUN commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from posixpath import basename

COMMANDS = r"\s*(?:&&|\|\||;|\|)\s*"
# These commands do not matter to a program that runs as a process of this machine.
HOUSEKEEPING = frozenset(
    (
        *("rm", "mkdir", "chmod", "chown", "ln", "touch", "echo", "printf", "true", "set", "cd", "export"),
        *("useradd", "groupadd", "adduser", "addgroup", "usermod"),
    )
)
INSTALLERS = {
    **dict.fromkeys(("apt-get", "apt", "aptitude", "yum", "dnf", "microdnf", "conda", "mamba", "brew"), "install"),
    "apk": "add",
    "pacman": "-S",
}
TOOLS = frozenset({"pip", "setuptools", "wheel"})
REQUIREMENTS = "requirements.txt"
LONGEST = 100


def base_note(image: str) -> str:
    """Return a remark about a base image; empty if it offers just Python."""
    name = basename(image.partition("@")[0]).partition(":")[0]
    if not image or "python" in name or name == "scuttle":
        return ""
    return f"the base image '{image}' is not used on this machine; install here what the program needs from it"


def run_notes(text: str) -> Iterator[str]:
    """Yield one sentence for each command of a RUN whose effect the program may miss."""
    for command in re.split(COMMANDS, text) if any(char in text for char in "&|;") else [text]:
        words = command.split()
        while words and ("=" in words[0] or words[0] in ("sudo", "exec")):  # variables before the command
            words = words[1:]
        if not words or basename(words[0]) in HOUSEKEEPING:
            continue
        inner = words[2:] if basename(words[0]).startswith("python") and words[1:2] == ["-m"] else words
        if inner and basename(inner[0]).rstrip("0123456789.") == "pip":
            yield from _pip_note(inner[1:])
        elif basename(words[0]) in INSTALLERS:
            yield from _packages_note(basename(words[0]), words[1:])
        else:
            yield f"'{_short(' '.join(words))}' is not run on this machine"


def _pip_note(words: list[str]) -> Iterator[str]:
    if words[:1] != ["install"]:
        return
    files = [after for before, after in pairwise(words) if before in ("-r", "--requirement")]
    files += [word.partition("=")[2] for word in words if word.startswith("--requirement=")]
    others = [file for file in files if basename(file) != REQUIREMENTS]
    plain = [word for word in words[1:] if not word.startswith("-") and word not in files and word not in TOOLS]
    if others or (plain and not files):
        named = ", ".join(others or plain)
        yield f"'pip install' of {_short(named)} is not run on this machine; add it to {REQUIREMENTS}"


def _packages_note(name: str, words: list[str]) -> Iterator[str]:
    if INSTALLERS[name] not in words:
        return
    packages = [word for word in words if not word.startswith("-") and word != INSTALLERS[name]]
    if packages:
        named = _short(", ".join(packages))
        yield f"{name} is not run on this machine; check that {named} is installed here"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

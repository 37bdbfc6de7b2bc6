"""Rules for names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fabric_jobs.errors import InvalidInput

NEW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,61}[A-Za-z0-9]")
LONGEST_WORDS = 200  # of a task's name: file systems allow 255 bytes, and suffixes follow
LONGEST_KEY = 1024  # bytes of a key of content, as in S3
NO_KEY = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd\ufffe\uffff\U0010ffff]"
)  # U+FFFD: bytes that were not UTF-8
LONGEST_ID = 250  # bytes of an activation's id
DEFINED_NAME = re.compile(r"(?!.*/\.{0,2}(/|$))[A-Za-z]([A-Za-z0-9_/.-]{0,252}[A-Za-z0-9])?")  # `a/../b` climbs out

DNS_NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"  # of an API and its containers; not compiled, since most commands need none
LONGEST_API_NAME = 42  # more would not fit into the names of its workers


def check_new_name(name: str, what: str) -> str:
    """Return `name` if it is allowed for a new `what` (such as `skill`); raise InvalidInput otherwise."""
    if NEW_NAME.fullmatch(name):
        return name
    raise InvalidInput(
        f"'{name}' is not a valid name of {'an' if what[0] in 'aeiou' else 'a'} {what}: "
        "it must start with a letter, contain only letters, digits, '_' and '-', "
        "end with a letter or a digit, and have 2 to 63 characters.",
        hint="Choose another name, for example 'word-count'.",
    )


def check_api_name(name: str) -> str:
    """Return `name` if it is allowed for a Batch or Task API; raise InvalidInput otherwise."""
    if re.fullmatch(DNS_NAME, name) and len(name) <= LONGEST_API_NAME and not name.startswith("b-"):
        return name
    raise InvalidInput(
        f"'{name}' is not a valid name of an API: it must start with a small letter, contain only small letters, digits "
        f"and '-', end with a letter or a digit, have at most {LONGEST_API_NAME} characters, and not start with 'b-'.",
        hint="Choose another name, for example 'word-count'.",
    )


def content_key(text: str) -> str:
    """Return the key of content without leading slashes; raise InvalidInput if it cannot be one."""
    key = text.lstrip("/")
    wrong = ""
    if not key or len(key.encode(errors="replace")) > LONGEST_KEY:
        wrong = f"it must have 1 to {LONGEST_KEY:,} bytes"
    elif any(part in ("", ".", "..") for part in key.split("/")):
        wrong = "no part of it between slashes may be empty, '.' or '..'"
    elif NO_KEY.search(key):
        wrong = "it must be UTF-8 without control characters"
    if wrong:
        shown = key if len(key) <= 80 else f"{key[:80]}…"
        raise InvalidInput(
            f"{shown!r} is not a key of content: {wrong}.",
            hint="Choose another key, for example 'reports/2026/january.csv'.",
        )
    return key


def check_activation_id(text: str) -> str:
    """Return an id that a caller may give to an activation; raise InvalidInput otherwise. It never becomes a file's name."""
    if text.isprintable() and "/" not in text and text not in (".", "..") and 0 < len(text.encode()) <= LONGEST_ID:
        return text
    raise InvalidInput(
        f"'activationId' must be 1 to {LONGEST_ID} bytes of printable text without '/'.",
        hint="Leave it out to get a new one, or give a 'key' of any text instead.",
    )


def task_name(project_id: str, skill: str, action: str) -> str:
    """Return a new name for a task. Its directories and containers share it, so characters not allowed in paths become '-'."""
    import secrets  # late: commands that make no task do not need it

    words = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{project_id}-{skill}-{action}")
    return f"{words[:LONGEST_WORDS]}-{secrets.token_hex(4)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the nearest known one, or all known ones; may be empty."""
    import difflib  # late: only needed after a mistyped name

    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else ""

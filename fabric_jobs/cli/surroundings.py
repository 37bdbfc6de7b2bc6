"""Explains errors of a command's environment: no home, no working directory, bytes that are not UTF-8."""

from __future__ import annotations

import os

from fabric_jobs.errors import InvalidInput, PlaceUnavailable

SHOWN_LENGTH = 40


def explained(error: Exception) -> Exception:
    """Return the error that explains this to a user; any other error unchanged."""
    if isinstance(error, UnicodeEncodeError) and any(map(_is_surrogate, error.object[error.start : error.end])):
        around = error.object[max(0, error.start - SHOWN_LENGTH) : error.start + 1]
        return InvalidInput(
            f"{around!a} has bytes that are not UTF-8.",
            hint="Type in UTF-8, and rename a file or directory with such a name.",
        )
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_lost():
        return PlaceUnavailable(
            "the working directory is gone: it was deleted or moved.", hint="Go to another one: cd ~"
        )
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib gives no other sign
        return PlaceUnavailable(
            "your user has no home directory.", hint="Set HOME, or XDG_CONFIG_HOME and XDG_CACHE_HOME."
        )
    return error


def _is_surrogate(char: str) -> bool:
    return "\ud800" <= char <= "\udfff"


def _is_lost() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False

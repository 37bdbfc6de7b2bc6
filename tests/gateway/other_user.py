"""Runs programs as another user of this machine, which only root can."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

SOMEBODY = 65_534

needs_another_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can start a program of another user")


PRELUDE = """
import encodings.idna, json, os, socket, sys, urllib.error, urllib.request
if int(sys.argv[1]) != os.getuid():
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
del sys.argv[1]
"""  # the user may be unable to read later imports


def as_user(user: int, program: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a Python program as a user."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program), *map(str, (user, *words))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )

"""Becomes a program, in the environment that was meant for it. Standard library only, and little of it.

    python -I -S become.py WORD…

`/bin/sh` does not pass on variables whose names are not names in its language, such as `spring.profile`, nor some that it
has itself. They travel under other names, in the environment, which others cannot see in `ps`, and get theirs back here. A Python
also ignores signals and may set a variable of its own before it runs a line: this is undone.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

CARRIER = "_FJ_CARRIED_"  # and a number; the value is NAME=VALUE
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OF_THE_SHELL = frozenset({"IFS", "OPTIND", "PPID"})  # it sets its own
SET_BY_PYTHON = b"LC_CTYPE"  # where the locale is C


def carried(words: tuple[str, ...], environment: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return what a shell is to run, and in which environment, so that the program gets all of this one."""
    odd = [name for name in environment if name in OF_THE_SHELL or not NAME.fullmatch(name)]
    if not odd:
        return words, dict(environment)
    plain = {name: value for name, value in environment.items() if name not in odd}
    carriers = {f"{CARRIER}{number}": f"{name}={environment[name]}" for number, name in enumerate(odd)}
    return (sys.executable, "-I", "-S", __file__, *words), {**plain, **carriers}


def become(words: list[str]) -> NoReturn:
    """Replace this process by a program; end it as a shell does when that is not possible."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(words[0], words, _meant())
    except OSError as error:
        sys.stderr.write(f"fabric-jobs: {words[0]}: {error.strerror}\n")
        sys.exit(127 if error.errno == errno.ENOENT else 126)


def _meant() -> dict[bytes, bytes]:
    environment = dict(os.environb)
    for name in [name for name in environment if name.startswith(CARRIER.encode())]:
        own, _, value = environment.pop(name).partition(b"=")
        environment[own] = value
    if SET_BY_PYTHON in environment and not _was_given(SET_BY_PYTHON):
        del environment[SET_BY_PYTHON]
    return environment


def _was_given(name: bytes) -> bool:
    """Tell whether this process was started with a variable; where that cannot be told, it was."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return b"\0" + name + b"=" in b"\0" + file.read()
    except OSError:
        return True


if __name__ == "__main__":
    become(sys.argv[1:])

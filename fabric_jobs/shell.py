"""The environment and the umask of a command's shell, which the programs that it invokes get.

They may contain secrets. They go over the owner's Unix socket and stay in memory: never on a disk, in a log or in an answer.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_jobs import state_dir as places
from fabric_jobs.errors import InvalidInput

SHELL = "shell"  # the key in the parameters of an invocation
# The header of a command run by a job, with its attempt. What a job invokes does not wait for its turn: the job may wait for it.
INVOKER = "x-fabric-attempt"
LIMIT = 1 << 20  # bytes of an environment, at most
# Variables of an attempt: a command that a program runs must not pass on its own.
OF_ATTEMPTS = frozenset(
    {
        "CORTEX_PAYLOAD",
        "CORTEX_TOKEN",
        "CORTEX_PROJECT",
        "FABRIC_JOBS_SOCKET",
        "FABRIC_JOBS_ATTEMPT",
        "FABRIC_JOBS_RECORDS",
        "FABRIC_JOBS_WORKSPACE",
        places.ATTEMPT_VARIABLE,
    }
)


@dataclass(frozen=True)
class Shell:
    """The environment and the umask of one command."""

    block: bytes = field(repr=False)  # NAME=VALUE, separated by null bytes
    umask: int

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables; bytes that are not UTF-8 become surrogates, as in `os.environ`."""
        entries = (os.fsdecode(entry).partition("=") for entry in self.block.split(b"\0") if entry)
        return {name: value for name, _, value in entries}

    def document(self) -> dict[str, Any]:
        """Return the shell as a JSON value."""
        return {"environment": binascii.b2a_base64(self.block, newline=False).decode(), "umask": self.umask}


def own_shell(environment: Mapping[str, str] = os.environ) -> Shell:
    """Return the shell of this process; raise InvalidInput when it is too large to pass on."""
    entries = (f"{name}={value}" for name, value in environment.items() if name not in OF_ATTEMPTS)
    return _checked(Shell(os.fsencode("\0".join(entries)), places.programs_umask()))


def shell_of(document: Any) -> Shell:
    """Return the shell that a command passed; raise InvalidInput, which shows no values, when it is malformed."""
    try:
        block, umask = binascii.a2b_base64(document["environment"], strict_mode=True), document["umask"]
    except (binascii.Error, KeyError, TypeError, ValueError):
        block, umask = b"", None
    names = [entry.partition(b"=") for entry in block.split(b"\0") if entry]
    if not isinstance(umask, int) or not 0 <= umask <= 0o777 or not all(name and equals for name, equals, _ in names):
        raise InvalidInput(f"'{SHELL}' is not the environment and the umask of a command.")
    return _checked(Shell(block, umask))


def _checked(shell: Shell) -> Shell:
    if len(shell.block) > LIMIT:
        raise InvalidInput(
            f"the environment has {len(shell.block):,} bytes, but programs can get at most {LIMIT:,}.",
            hint="Unset the large variables, or pass large values in files.",
        )
    return shell


class Shells:
    """The shells of running activations, in memory only."""

    def __init__(self) -> None:
        self._kept: dict[str, Shell] = {}
        self._last: Shell | None = None

    def keep(self, activation_id: str, shell: Shell | None) -> None:
        """Keep the shell of an activation until `forget`."""
        if shell is not None:
            if shell != self._last:
                self._last = shell
            self._kept[activation_id] = self._last  # a loop in one shell passes equal ones: keep one

    def of(self, activation_id: str) -> Shell | None:
        """Return the shell of an activation; None when none was passed, or only to an earlier owner."""
        return self._kept.get(activation_id)

    def forget(self, activation_id: str) -> None:
        """Drop the shell of an activation."""
        self._kept.pop(activation_id, None)

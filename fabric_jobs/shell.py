"""What a command passes to the programs that it invokes: the environment and the umask of its shell.

It may contain secrets. It goes over the owner's Unix socket and stays in memory: it must never reach a disk, a log or an answer.
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
# The header by which a command that a job types says so: what a job invokes, and may wait for, does not wait for its turn.
INVOKER = "x-fabric-attempt"
LIMIT = 1 << 20  # bytes of an environment
# Those of an attempt: a command that a program types must not hand its own on.
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
        """Return the variables; bytes that are not UTF-8 are surrogates, as in `os.environ`."""
        entries = (os.fsdecode(entry).partition("=") for entry in self.block.split(b"\0") if entry)
        return {name: value for name, _, value in entries}

    def document(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {"environment": binascii.b2a_base64(self.block, newline=False).decode(), "umask": self.umask}


def own_shell(environment: Mapping[str, str] = os.environ) -> Shell:
    """Return that of this process; raise InvalidInput when it is too large to be handed over."""
    entries = (f"{name}={value}" for name, value in environment.items() if name not in OF_ATTEMPTS)
    return _checked(Shell(os.fsencode("\0".join(entries)), places.programs_umask()))


def shell_of(document: Any) -> Shell:
    """Return what a command has handed over; raise InvalidInput when it is malformed. Its values are not shown."""
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
        """Keep that of an activation until it is forgotten."""
        if shell is not None:
            if shell != self._last:
                self._last = shell
            self._kept[activation_id] = self._last  # a loop in one shell hands over equal ones, which are kept once

    def of(self, activation_id: str) -> Shell | None:
        """Return that of an activation; None when nobody handed one over, or it was to an owner that is gone."""
        return self._kept.get(activation_id)

    def forget(self, activation_id: str) -> None:
        """Release it."""
        self._kept.pop(activation_id, None)

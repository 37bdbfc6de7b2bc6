"""References to variables in commands, in the syntax of Kubernetes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) by the variable of that name, and $$ by $. A reference to an unknown variable stays."""

    def one(found: re.Match[str]) -> str:
        return "$" if found[1] is None else variables.get(found[1], found[0])

    return REFERENCE.sub(one, text)


def all_expanded(given: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the given variables and a container's own ones. A value may refer to the given ones, and to own ones before it."""
    found = dict(given)
    for name, value in own.items():
        found[name] = expanded(value, found)
    return found

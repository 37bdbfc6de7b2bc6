"""Lists the gateway's routes, taken from the product, with a value for each parameter."""

from __future__ import annotations

import re

from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.operation import Operation

VALUES = {"group": "params", "status": "publish"}  # for parameters that take only some words


def filled(operation: Operation) -> str:
    """Return the path of an operation with a value for each parameter."""
    path = operation.path.replace("{project}", "local")
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda name: VALUES.get(name[1], "x"), path)


def routes_of_a_user() -> list[tuple[str, str]]:
    """Return method and path of every route that takes a user's token; a HEAD is like its GET."""
    return [(found.method, filled(found)) for found in OPERATIONS if found.caller == "user" and found.method != "HEAD"]

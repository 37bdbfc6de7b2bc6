"""Lists the gateway's routes, taken from the product, with a value for each parameter."""

from __future__ import annotations

import re

from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.parameters import P
from tests.acceptance.live import PROJECT


def routes_of_a_user() -> list[tuple[str, str]]:
    """Return method and path of every route that requires the owner's token."""
    return [
        (found.method, re.sub(r"\{\w+(:\w+)?\}", "x", found.path.replace(P, PROJECT)))
        for found in OPERATIONS
        if found.caller == "user"
    ]

"""The routes of the gateway, as the product lists them, with a value for each parameter."""

from __future__ import annotations

import re

from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.parameters import P
from tests.acceptance.live import PROJECT


def routes_of_a_user() -> list[tuple[str, str]]:
    """Return method and path of whatever asks for the owner's token."""
    return [
        (found.method, re.sub(r"\{\w+(:\w+)?\}", "x", found.path.replace(P, PROJECT)))
        for found in OPERATIONS
        if found.caller == "user"
    ]

"""The routes of the gateway, as the product lists them, with a value for each parameter."""

from __future__ import annotations

import re

from fabric_jobs.gateway.app import OPERATIONS
from tests.acceptance.live import PROJECT

FOR_ANYBODY = {
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/fabric/v4/info",
    "/fabric/v4/compatibility/applications/cortex-cli",
}
FOR_TASKS = "/internal/"


def routes_of_a_user() -> list[tuple[str, str]]:
    """Return method and path of whatever asks for the owner's token."""
    return [
        (found.method, re.sub(r"\{\w+(:path)?\}", "x", found.path.replace("/fabric/v4/projects/{project}", PROJECT)))
        for found in OPERATIONS
        if found.path not in FOR_ANYBODY and not found.path.startswith(FOR_TASKS)
    ]

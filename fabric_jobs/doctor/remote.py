"""Checks a remote gateway: it answers, accepts the token and has this version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import fabric_jobs
from fabric_jobs.client.remote import RemoteConnection
from fabric_jobs.doctor.finding import OK, PROBLEM, WARNING, Finding, Scope
from fabric_jobs.runtime.fabric_skill.http import Disconnected

SECONDS = 5.0
ADDRESS = "Check the address, and that `fabric-jobs serve` is running there."
TOKEN = "Give its token with --token or in the profile; it is in owner.json of the gateway's state directory."


def gateway(scope: Scope) -> Iterator[Finding]:
    """Check that the gateway named by --profile or --url can be used; yield nothing if none is named."""
    remote = scope.remote
    if remote is None:
        return
    remote.check()
    connection = RemoteConnection(remote, seconds=SECONDS)
    try:
        info = connection.request("GET", "/fabric/v4/info")
        tasks = connection.request("GET", f"/fabric/v4/projects/{quote(remote.project_id, safe='')}/tasks?limit=1")
    except Disconnected as error:
        message = f"{remote.url} cannot be reached: {error}."
        yield Finding(PROBLEM, message, ADDRESS)
        return
    finally:
        connection.close()
    version = _version(info.body) if info.status == 200 else ""
    if not version:
        message = f"{remote.url} answered {info.status} to /fabric/v4/info, so it is not a gateway of fabric-jobs."
        yield Finding(PROBLEM, message, ADDRESS)
    elif tasks.status != 200:
        message = f"{remote.url} answered {tasks.status} to the token, for project '{remote.project_id}'."
        yield Finding(PROBLEM, message, TOKEN)
    elif version != fabric_jobs.__version__:
        message = f"{remote.url} answers, but is version {version}, not {fabric_jobs.__version__}."
        hint = "Use the same version here and there."
        yield Finding(WARNING, message, hint)
    else:
        message = f"{remote.url} answers and accepts the token for project '{remote.project_id}'"
        yield Finding(OK, message)


def _version(body: bytes) -> str:
    try:
        return str(json.loads(body)["version"])
    except (ValueError, KeyError, TypeError):
        return ""

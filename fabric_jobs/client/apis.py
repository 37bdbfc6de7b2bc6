"""Batch and Task APIs at a gateway: deploy, list, show, delete."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fabric_jobs.client.gateway import segment
from fabric_jobs.errors import InvalidInput, Problem, shown
from fabric_jobs.runtime.cortex_command.files import form, pack
from fabric_jobs.runtime.cortex_command.refused import Refused
from fabric_jobs.user_files import read_bytes, read_text

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway
    from fabric_jobs.runtime.cortex_command.files import ProjectFiles

Row = dict[str, Any]


def check(config: Path) -> tuple[Problem, ...]:
    """Return warnings about an API file; raise InvalidDefinition with all that is wrong in it, InvalidInput if it is unreadable."""
    from fabric_jobs.documents import read  # late: only this command reads YAML
    from fabric_jobs.documents.apis import apis_of

    try:
        return apis_of(read(read_text(config), shown(config)))[1]
    except OSError as error:
        raise _unreadable(config, error) from error


def deploy(gateway: Gateway, config: Path, files: ProjectFiles) -> list[Row]:
    """Deploy the APIs of a file with the files of its project; return what the gateway says of each.

    Raises InvalidInput for a file that cannot be read, or is wrong.
    """
    try:
        text = read_bytes(config)
    except OSError as error:
        raise _unreadable(config, error) from error
    query = urlencode({"configFileName": shown(config)})
    with tempfile.TemporaryFile() as archive:
        try:
            pack(files, archive)
        except Refused as error:
            from fabric_jobs.client.project_files import translated

            raise translated(error) from error

        def attempt() -> list[Row]:
            kind, size, parts = form(text, archive if files.files else None)
            headers = {"content-type": kind, "content-length": str(size)}
            with gateway.stream("POST", f"/apis?{query}", parts, headers) as stream:
                found: list[Row] = json.loads(stream.whole().body)["apis"]
            return found

        return gateway.patiently(attempt)


def listed(gateway: Gateway) -> list[Row]:
    """Return all APIs, by name."""
    found: list[Row] = gateway.get("/apis")["apis"]
    return found


def find(gateway: Gateway, name: str) -> Row:
    """Return an API; raise NotFound."""
    found: Row = gateway.get(f"/apis/{segment(name)}")["api"]
    return found


def delete(gateway: Gateway, name: str) -> str:
    """Delete an API, and stop its jobs; return what the gateway says. Raises NotFound, and InUse if an agent needs it."""
    return str(json.loads(gateway.raw("DELETE", f"/apis/{segment(name)}").body)["message"])


def _unreadable(config: Path, error: OSError) -> InvalidInput:
    hint = "Name the API file: fabric-jobs jobs deploy FILE"
    return InvalidInput(f"{shown(config)} cannot be read: {error.strerror or error}.", hint=hint)

"""Personal tokens and projects of a gateway."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric_jobs import personal_tokens
from fabric_jobs.client.gateway import segment
from fabric_jobs.client.token_files import TokenFile
from fabric_jobs.errors import NotFound

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

CREATE = "mutation NewProject($input: ProjectInput!) { createProject(input: $input) {name, title, description} }"
DELETE = "mutation OldProject($name: String!) { deleteProject(name: $name) }"


def create_token(
    gateway: Gateway, name: str, role: str, seconds: float | None, path: Path | None, address: str = ""
) -> tuple[TokenFile, dict[str, Any]]:
    """Make a key, let the gateway take its public half, and write the token file if `path` is given.

    `address` is where the caller reaches the gateway, if not at the address that this command uses.
    Return the token file, and the token as the gateway shows it. Nothing is left if the gateway refuses.
    """
    key = personal_tokens.new_key()
    url = (address or gateway.url).rstrip("/")
    made = TokenFile(url=f"{url}/px", username=name, key=key, project_id=gateway.project_id)
    public = {part: value for part, value in key.items() if part != "d"}
    with ExitStack() as undo:
        if path is not None:
            made.write(path)  # first, so that a key that the gateway knows is never lost
            undo.callback(path.unlink, missing_ok=True)
        answer = gateway.post("/tokens", {"name": name, "role": role, "jwk": public, "expiresInSeconds": seconds})
        undo.pop_all()
    return made, answer["token"]


def list_tokens(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the tokens of the gateway's project."""
    found: list[dict[str, Any]] = gateway.get("/tokens")["tokens"]
    return found


def revoke_token(gateway: Gateway, name: str) -> None:
    """Revoke a token; raise NotFound."""
    if not json.loads(gateway.raw("DELETE", f"/tokens/{segment(name)}").body)["revoked"]:
        raise NotFound(
            f"project '{gateway.project_id}' has no token '{name}'.", hint="List them with `fabric-jobs tokens list`."
        )


def list_projects(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the projects that the caller sees."""
    found: list[dict[str, Any]] = gateway.graph("{ projects {name, title, description} }")["projects"]
    return found


def create_project(gateway: Gateway, name: str, title: str, description: str) -> dict[str, Any]:
    """Make a project; return it."""
    given = {"name": name, "title": title, "description": description}
    found: dict[str, Any] = gateway.graph(CREATE, input=given)["createProject"]
    return found


def delete_project(gateway: Gateway, name: str) -> None:
    """Delete an empty project; raise NotFound, or InUse."""
    if not gateway.graph(DELETE, name=name)["deleteProject"]:
        raise NotFound(f"there is no project '{name}'.", hint="List them with `fabric-jobs projects list`.")

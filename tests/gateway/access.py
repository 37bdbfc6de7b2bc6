"""Projects and personal tokens for tests, made over HTTP by the owner's user."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from fabric_jobs.personal_tokens import AUDIENCE, ISSUER, Jwk, new_key, sign
from tests.gateway.test_users import Caller

MINUTE = 60.0


@dataclass(frozen=True)
class Personal:
    """The private half of a personal token."""

    name: str
    key: Jwk = field(default_factory=new_key)

    @property
    def public(self) -> Jwk:
        """The half that the gateway gets."""
        return {name: value for name, value in self.key.items() if name != "d"}

    def jwt(self, *, seconds: float = 2 * MINUTE, **claims: Any) -> str:
        """Return a JWT as Fabric's clients sign it, with other claims if given; None leaves one out."""
        now = time.time()
        whole = {
            "sub": self.name,
            "aud": AUDIENCE,
            "iss": ISSUER,
            "iat": now / 1000,
            "exp": int(now + seconds),
            **claims,
        }
        return sign(self.key, {name: value for name, value in whole.items() if value is not None})


def make_project(caller: Caller, name: str) -> str:
    """Make a project; return the beginning of its paths."""
    ask(caller, "mutation M($input: ProjectInput!) { createProject(input: $input){name}}", input={"name": name})
    return f"/fabric/v4/projects/{name}"


def make_token(caller: Caller, name: str, role: str = "run", project: str = "local", **more: Any) -> Personal:
    """Make a personal token; return its private half."""
    made = Personal(name)
    body = {"name": name, "role": role, "jwk": made.public, **more}
    answer = caller.call("POST", f"/fabric/v4/projects/{project}/tokens", json.dumps(body).encode())
    assert answer.status == 200, answer
    return made


def ask(caller: Caller, query: str, *, token: str | None = None, **variables: Any) -> Any:
    """Return the data of a GraphQL answer."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    answer = caller.call("POST", "/fabric/v4/graphql", body, token=token)
    assert answer.status == 200, answer
    return json.loads(answer.body)["data"]

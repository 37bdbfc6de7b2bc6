"""Whose a bearer token is, and what it allows: the owner's user, a person or program with a personal token, or a task."""

from __future__ import annotations

import hmac
import time
from typing import NamedTuple

from fabric_jobs.engine import tokens
from fabric_jobs.errors import NotAllowed
from fabric_jobs.gateway.live import Known
from fabric_jobs.personal_tokens import Presented
from fabric_jobs.records import AccessToken
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, access, projects, tasks

GIVEN = ("read", "run", "admin")  # what a personal token can have
ROLES = (*GIVEN, "owner")  # each may do what those before it may
ALIVE = (TaskState.STARTING, TaskState.ACTIVE)


class Visitor(NamedTuple):
    """Who calls, and what that allows."""

    username: str
    role: str  # see ROLES
    project: str = ""  # the only project that it may use; empty: all
    attempt: str = ""  # `<task_id>-<attempt>` of a program that calls; empty: none

    @property
    def is_owner(self) -> bool:
        """Whether this is the user whom the gateway runs as."""
        return self.role == "owner"

    def may(self, role: str) -> bool:
        """Return whether its role suffices for what needs `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Access:
    """Checks tokens. A personal token's signature is checked once; what it allows is looked up again after each change."""

    def __init__(self, store: Store, *, secret: str, key: bytes) -> None:
        """`secret` makes the token of the owner's user, `key` those of tasks."""
        self._store = store
        self._key = key
        self.token = tokens.of_owner(secret)
        self._owners = (self.token.encode(), secret.encode())  # the second was the token up to version 0.2.0
        self._claims: Known[str, tuple[str, float]] = Known()  # by personal JWT: its key, and when it expires
        self._grants: Known[str, AccessToken] = Known()  # by key
        self._projects: Known[str, bool] = Known()

    def caller_of(self, token: str) -> Visitor:
        """Return who has a token; raise NotAllowed."""
        given = token.encode()
        if any(hmac.compare_digest(given, known) for known in self._owners):
            return Visitor("local", "owner")
        if tokens.is_of_task(token):
            return self._task(token)
        kid, expires_at = self._claims.get(token) or self._verified(token)
        grant = self._grant(kid)
        now = time.time()
        if grant.expires_at is not None and grant.expires_at <= now:
            raise NotAllowed("the personal token has expired.", hint="Make another: fabric-jobs tokens create NAME")
        if expires_at <= now:
            raise NotAllowed(
                f"the token expired {now - expires_at:.0f} seconds ago by this gateway's clock.",
                hint="Sign another one; GET /fabric/v4/info tells the gateway's time.",
            )
        return Visitor(grant.name, grant.role, grant.project_id)

    def has_project(self, project_id: str) -> bool:
        """Return whether there is a project."""
        if not self._projects.get(project_id):
            if projects.find(self._store.read, project_id) is None:
                return False
            self._projects.put(project_id, True)
        return True

    def forget(self) -> None:
        """Look everything up again, since tokens or projects have changed."""
        self._claims.clear()  # a key may have come back under another name
        self._grants.clear()
        self._projects.clear()

    def _verified(self, token: str) -> tuple[str, float]:
        presented = Presented.read(token)
        grant = self._grant(presented.kid)
        found = presented.kid, presented.verify(grant.public_key, grant.name)
        self._claims.put(token, found)
        return found

    def _grant(self, kid: str) -> AccessToken:
        found = self._grants.get(kid)
        if found is None:
            found = access.token_of_key(self._store.read, kid)
            if found is None:
                raise NotAllowed("the personal token is revoked, or not one of this gateway.")
            self._grants.put(kid, found)
        return found

    def _task(self, token: str) -> Visitor:
        claims = tokens.verify(token, self._key)
        task = tasks.find(self._store.read, claims["task"])
        is_current = task is not None and task.attempt == claims["attempt"] and task.state in ALIVE
        if task is None or not is_current or task.activation_id != claims["activation"]:
            raise NotAllowed("the attempt that the token was made for is over.")
        return Visitor(claims["sub"], "run", task.project_id, f"{task.task_id}-{task.attempt}")

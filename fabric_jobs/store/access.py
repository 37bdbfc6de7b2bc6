"""Personal tokens: the public half of each, and what it allows."""

from __future__ import annotations

from fabric_jobs.errors import AlreadyExists
from fabric_jobs.records import AccessToken
from fabric_jobs.store import projects
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx


def add_token(tx: Tx, new: AccessToken) -> bool:
    """Keep a token; return False if it is kept already, since a request may be repeated.

    Raises NotFound for an unknown project, AlreadyExists if the project has another token of this name or the key is in use.
    """
    projects.check(tx, new.project_id)
    before = token_of_key(tx, new.kid)
    if before is not None and (before.project_id, before.name, before.role) == (new.project_id, new.name, new.role):
        return False
    if before is not None:
        raise AlreadyExists("another token has this key.", hint="Make a new key for each token.")
    if not tx.run("insert_access_token", **{name: getattr(new, name) for name in AccessToken.__slots__}):
        raise AlreadyExists(
            f"project '{new.project_id}' has a token '{new.name}' already.",
            hint=f"Choose another name, or revoke it: fabric-jobs tokens revoke {new.name} --project {new.project_id}",
        )
    return True


def token_of_key(sql: Sql, kid: str) -> AccessToken | None:
    """Return the token of a key, or None."""
    row = sql.one("access_token", kid=kid)
    return None if row is None else AccessToken.from_row(row)


def tokens(sql: Sql, project_id: str) -> list[AccessToken]:
    """Return the tokens of a project by name, expired ones too."""
    return [AccessToken.from_row(row) for row in sql.all("access_tokens", project_id=project_id)]


def revoke(tx: Tx, project_id: str, name: str) -> bool:
    """Delete a token; return whether it existed."""
    return bool(tx.run("delete_access_token", project_id=project_id, name=name))

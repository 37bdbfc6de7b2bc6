"""Projects: what skills, agents, activations and personal tokens belong to."""

from __future__ import annotations

from fabric_jobs.errors import AlreadyExists, InUse, NotFound
from fabric_jobs.records import Project
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

# What keeps a project from being deleted: a word for it, and the query that names it.
USES = {"skill": "skills_of_project", "agent": "agents_of_project", "activation": "activations_of_project"}
DOCUMENTS = "documents_of_project"  # the same, with a word for each
# Tables whose rows are named by one of these, or go with the project. A row in any other table keeps the project.
COVERED = {
    "projects",
    "access_tokens",
    "definitions",
    "activations",
    "channels",
    "tasks",
    "dead_letters",
    "events",
    "documents",
}
NAMED = 20  # of one kind, in the error


def ensure(tx: Tx, new: Project) -> bool:
    """Create a project unless there is one of this name; return whether it was created."""
    return bool(tx.run("insert_project", **_values(new)))


def create(tx: Tx, new: Project) -> None:
    """Create a project; raise AlreadyExists unless it is the same, since a request may be repeated."""
    before = find(tx, new.project_id)
    if before is not None and (before.title, before.description) != (new.title, new.description):
        raise AlreadyExists(f"there is a project '{new.project_id}' already.", hint="Choose another name.")
    ensure(tx, new)


def find(sql: Sql, project_id: str) -> Project | None:
    """Return a project, or None."""
    row = sql.one("project", project_id=project_id)
    return None if row is None else Project.from_row(row)


def check(sql: Sql, project_id: str) -> Project:
    """Return a project; raise NotFound."""
    found = find(sql, project_id)
    if found is None:
        raise NotFound(
            f"there is no project '{project_id}'.",
            hint="List them with `fabric-jobs projects list`; make one with `fabric-jobs projects create NAME`.",
        )
    return found


def listed(sql: Sql) -> list[Project]:
    """Return all projects by name."""
    return [Project.from_row(row) for row in sql.all("projects")]


def delete(tx: Tx, project_id: str) -> bool:
    """Delete an empty project with its tokens; return whether it existed. Raises InUse with what is in it."""
    users = tuple(
        (kind, row["name"]) for kind, query in USES.items() for row in tx.all(query, project_id=project_id, limit=NAMED)
    )
    users += tuple((row["kind"], row["name"]) for row in tx.all(DOCUMENTS, project_id=project_id, limit=NAMED))
    others = {row["name"] for row in tx.all("tables_with_projects")} - COVERED
    users += tuple((table, project_id) for table in sorted(others) if _has_rows(tx, table, project_id))
    if users:
        named = ", ".join(f"{kind} {name}" for kind, name in users[:5])
        raise InUse(
            f"project '{project_id}' is not empty: it has {named}{' and more' if users[5:] else ''}.",
            users=users,
            hint="Delete what is in it first; `fabric-jobs state prune` deletes ended activations.",
        )
    for query in (
        "delete_tokens_of_project",
        "delete_versions_of_project",
        "delete_documents_of_project",
        "delete_events_of_project",
    ):
        tx.run(query, project_id=project_id)
    return bool(tx.run("delete_project", project_id=project_id))


def _has_rows(sql: Sql, table: str, project_id: str) -> bool:
    statement = f'select 1 from "{table}" where project_id = ? limit 1'
    return sql.connection.execute(statement, (project_id,)).fetchone() is not None


def _values(new: Project) -> dict[str, object]:
    return {name: getattr(new, name) for name in Project.__slots__}

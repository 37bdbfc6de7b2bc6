"""Everything that has a project is invisible from another one: every route is asked, those to come too."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from fabric_jobs.client.remote import Remote, RemoteConnection
from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.examples import EXAMPLES
from fabric_jobs.gateway.openapi import document
from fabric_jobs.gateway.operation import Operation
from fabric_jobs.gateway.schemas import SCHEMAS, TEXTS
from fabric_jobs.runtime.fabric_skill.http import Answer
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.access import make_project, make_token
from tests.gateway.test_jobs import Job, held
from tests.gateway.test_users import Caller, skill

__all__ = ["held"]

MARK = "not-for-you"  # in everything that the project `local` has
OTHER = "/fabric/v4/projects/other"
WORDS = {"group": "params", "status": "publish"}  # parameters that take only some words
OF_ALL = (  # without a project in the path
    "/fabric/v4/graphql",
    "/fabric/v4/compatibility/applications/cortex-cli",
    "/fabric/v4/connectiontypes",
)
OF_TOKEN = {found.path for found in OPERATIONS if found.is_of_cortex}  # the project is that of the token


@pytest.fixture
def caller(held: Live) -> Caller:
    """Return a caller of a gateway whose project `local` has something of every kind that examples can make."""
    held.skill("refuses", "sys.exit(3)", onError="continue")
    held.fail("refuses", {MARK: 1})
    made = Caller(held, tcp=True)
    made.post("/skills", skill(MARK, title=MARK))
    mappings = [{"from": "input", "to": f"{MARK}.request"}, {"from": f"{MARK}.out", "to": "output"}]
    made.post("/agents", {"name": MARK, "skills": [{"skillName": MARK}], "mappings": mappings})
    make_token(made, MARK, "read")
    made.post("/schedules", {"name": MARK, "cron": "@yearly", "skill": MARK, "payload": MARK})
    for operation in OPERATIONS:  # whatever can be stored, so far as a made-up body is accepted
        if operation.method in ("POST", "PUT") and "/state/" not in operation.path:
            for body in (made_up(operation), EXAMPLES.get(operation.body)):
                ask(made, operation, "local", made.address.token, body=body, known=WORDS)
    make_project(made, "other")
    until(lambda: not made.get("/activations?status=pending")["activations"], "the end of what was invoked")
    return made


def values(caller: Caller) -> dict[str, str]:
    """Return values of parameters in paths: names of things of the project `local`."""
    tasks = caller.get("/tasks")["tasks"]
    return {
        "activation": caller.get("/activations")["activations"][0]["activationId"],
        "task": tasks[0]["name"],
        "letter": str(caller.get("/deadletters")["deadLetters"][0]["id"]),
        "action": "refuses",
        "entry": "request",
        "version": "1",
        **WORDS,
    }


def ask(caller: Caller, operation: Operation, project: str, token: str, **given: Any) -> Answer:
    """Return the answer to an operation with a token."""
    known = {"project": project, **given.get("known", {})}

    def value(found: re.Match[str]) -> str:
        return str(known.get(found[1], MARK))

    path = re.sub(r"\{(\w+)(?::\w+)?\}", value, operation.path)
    body = given.get("body", made_up(operation))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = RemoteConnection(Remote(url=caller.address.url, token=token))
    try:
        return connection.request(operation.method, path, data if operation.body else b"")
    finally:
        connection.close()


def made_up(operation: Operation) -> Any:
    """Return a body with the mark in it, by its schema; bytes if it is not JSON."""
    return MARK.encode() if operation.body in TEXTS else sample(SCHEMAS.get(operation.body, {}))


def sample(schema: Any) -> Any:
    """Return a value that fits a schema, as far as its words tell."""
    if "$ref" in schema:
        return sample(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return sample(schema[word][0])
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null")
    if kind == "object":
        required, members = schema.get("required", ()), schema.get("properties", {})
        return {
            name: sample(inner) for name, inner in members.items() if name in required or inner.get("type") == "string"
        }
    if kind == "array":
        return [sample(schema.get("items", {}))]
    return {"integer": 1, "number": 1, "boolean": False, "null": None}.get(kind, MARK)


def rows(live: Live, project: str) -> dict[str, list[Any]]:
    """Return every row of a project, by table."""
    with sqlite3.connect(f"file:{live.state}/state.db?mode=ro", uri=True) as database:
        tables = database.execute(
            "select t.name from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table' and c.name = 'project_id'"
        ).fetchall()
        found = {
            name: database.execute(f'select * from "{name}" where project_id = ?', (project,)).fetchall()
            for (name,) in tables
        }
    database.close()
    return found


def unasked(answer: Answer) -> bytes:
    """Return the body of an answer; that of an error without the names that were asked for."""
    return answer.body if answer.status < 400 else re.sub(rb"'/?" + MARK.encode() + rb"'", b"", answer.body)


def of_projects() -> Iterator[Operation]:
    """Yield the operations that have a project in their path."""
    return (operation for operation in OPERATIONS if operation.caller == "user" and "{project}" in operation.path)


def test_every_route_of_the_document_is_asked() -> None:
    described = sum(len(methods) for methods in document(OPERATIONS)["paths"].values())
    without = [found for found in OPERATIONS if found.caller == "user" and "{project}" not in found.path]
    assert {found.path for found in without if found.needs != "owner"} <= {*OF_ALL, *OF_TOKEN}
    of_tasks = [found for found in OPERATIONS if found.caller in ("task", "pool")]
    open_to_all = [found for found in OPERATIONS if found.caller == "none"]
    assert described == len([*of_projects(), *without, *of_tasks, *open_to_all])


def test_a_personal_token_gets_nothing_of_another_project(held: Live, caller: Caller) -> None:
    known = values(caller)
    before = rows(held, "local")
    assert len(before) > 5
    token = make_token(caller, "anna", "admin", "other").jwt(seconds=600)
    for operation in OPERATIONS:
        if operation.caller != "user":
            continue
        what = f"{operation.method} {operation.path}"
        answer = ask(caller, operation, "local", token, known=known)
        if "{project}" in operation.path or operation.needs == "owner":
            assert answer.status == 403, (what, answer)
            assert "x-auth-error" in answer.headers, what
            nowhere = ask(caller, operation, "nowhere", token, known=known)
            assert (nowhere.status, nowhere.body) == (answer.status, answer.body), (
                what
            )  # nor does it tell what there is
        if "{" in operation.path and operation.path in OF_TOKEN:
            assert answer.status in (400, 404), (what, answer)
        assert MARK.encode() not in (unasked(answer) if operation.path in OF_TOKEN else answer.body), (what, answer)
    assert rows(held, "local") == before


def test_names_of_another_project_lead_nowhere(held: Live, caller: Caller) -> None:
    known = values(caller)
    before = rows(held, "local")
    token = make_token(caller, "anna", "admin", "other").jwt(seconds=600)
    sent = {}
    for operation in sorted(
        of_projects(), key=lambda found: ("GET", "HEAD").index(found.method) if found.method in ("GET", "HEAD") else 2
    ):
        what = f"{operation.method} {operation.path}"
        answer = ask(caller, operation, "other", token, known=known)
        assert answer.status < 500 or answer.status == 501, (what, answer)
        if operation.method == "GET":  # before anything could have been made in this project
            said = answer.body.replace(f"'{MARK}'".encode(), b"")  # an error names what was asked for
            assert answer.status >= 400 or MARK.encode() not in said, (what, answer)
        sent[what] = answer.status
    assert rows(held, "local") == before
    assert set(sent.values()) & {404}


def test_the_token_of_a_task_gets_nothing_of_another_project(held: Live, caller: Caller) -> None:
    source = {"x-fabric-source": str(held.root / "skills" / "held"), "x-fabric-workspace": str(held.root)}
    document = json.loads((held.root / "skills" / "held" / "skill.yaml").read_text())
    near = Caller(held)
    assert near.call("POST", f"{OTHER}/skills", json.dumps(document).encode(), **source).status == 200
    body = b'{"payload": "secret"}'
    invoked = near.call("POST", f"{OTHER}/skillinvoke/held/inputs/request", body, **source)
    job = Job(held, activation=json.loads(invoked.body)["activationId"])
    ours = Job(held)
    active = f"/tasks?state=active&activationId={ours.message['activationId']}"
    until(lambda: caller.get(active)["tasks"], "the owner knows that it runs")
    known = {**values(caller), "activation": ours.message["activationId"], "channel": ours.message["channelId"]}
    known |= {"attempt": ours.attempt, "output": "response"}
    before = rows(held, "local")
    token = job.message["token"]
    assert caller.call("GET", f"{OTHER}/skills", token=token).status == 200
    for operation in OPERATIONS:
        what = f"{operation.method} {operation.path}"
        if operation.caller == "none":
            continue
        answer = ask(caller, operation, "local", token, known=known)
        if "{project}" in operation.path or operation.needs == "owner":
            assert answer.status in (401, 403), (what, answer)
        elif operation.path in OF_TOKEN:
            assert answer.status in (400, 404) or "{" not in operation.path, (what, answer)
        elif operation.path not in OF_ALL:
            assert answer.status in (401, 409), (what, answer)
        assert MARK.encode() not in (unasked(answer) if operation.path in OF_TOKEN else answer.body), (what, answer)
    assert rows(held, "local") == before
    near.call("POST", f"{OTHER}/activations/{job.message['activationId']}/cancel")
    assert PROJECT not in str(job.message)

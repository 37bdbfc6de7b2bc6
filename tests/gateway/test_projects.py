"""The four GraphQL operations about projects, as Fabric's clients send them, and bad ones."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.projects import OPERATION, _operation
from tests.acceptance.live import Live
from tests.gateway.access import ask, make_project, make_token
from tests.gateway.test_users import Caller, skill

GRAPH = "/fabric/v4/graphql"
LOCAL = {"name": "local", "title": "local", "description": ""}
LAB = {"name": "lab", "title": "The lab", "description": "for (all) {kinds} of “things”"}


def refused(caller: Caller, status: int, body: object, **options: Any) -> str:
    """Check an error, which a GraphQL client has to find too; return its message."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = caller.call("POST", GRAPH, data, **options)
    assert answer.status == status, answer
    value = json.loads(answer.body)
    assert value["success"] is False
    assert value["errors"] == [{"message": value["message"]}]
    message: str = value["message"]
    return message


def test_what_fabrics_command_asks(live: Live) -> None:
    caller = Caller(live, tcp=True)
    assert ask(caller, "{ projects { name, title, description} }") == {"projects": [LOCAL]}
    create = "mutation NewProject($input: ProjectInput!) { createProject(input: $input){name}}"
    assert ask(caller, create, input=LAB)["createProject"]["name"] == "lab"
    assert ask(caller, create, input=LAB)["createProject"] == LAB  # a request may come twice
    assert ask(caller, 'query { projectByName( name: "lab" ){name, title, description}}') == {"projectByName": LAB}
    assert ask(caller, "query Q($n: String!) {\n projectByName(name: $n) { name } }", n="lab")["projectByName"] == LAB
    assert ask(caller, "{projects{name}}")["projects"] == [LAB, LOCAL]
    assert caller.call("POST", "/fabric/v4/projects/lab/skills", json.dumps(skill()).encode()).status == 200
    delete = 'mutation { deleteProject(name: "lab") }'
    assert "skill plain" in refused(caller, 403, {"query": delete})
    assert caller.call("DELETE", "/fabric/v4/projects/lab/skills/plain").status == 200
    assert ask(caller, delete) == {"deleteProject": True}
    assert ask(caller, delete) == {"deleteProject": False}
    caller.refused(404, "GET", "/fabric/v4/projects/lab/skills")
    assert "no project 'lab'" in refused(caller, 404, {"query": '{ projectByName(name: "lab") {name} }'})


def test_a_deleted_project_leaves_nothing_to_the_next_one(live: Live) -> None:
    caller = Caller(live)
    path = make_project(caller, "lab")
    anna = make_token(caller, "anna", "admin", "lab")
    jwt = anna.jwt()
    assert caller.call("POST", f"{path}/skills", json.dumps(skill()).encode(), token=jwt).status == 200
    assert caller.call("DELETE", f"{path}/skills/plain", token=jwt).status == 200
    assert ask(caller, 'mutation { deleteProject(name: "lab") }')["deleteProject"] is True
    assert "revoked" in caller.refused(401, "GET", f"{path}/skills", token=jwt)
    make_project(caller, "lab")
    assert "revoked" in caller.refused(401, "GET", f"{path}/skills", token=jwt)
    assert json.loads(caller.call("POST", f"{path}/skills", json.dumps(skill()).encode()).body)["version"] == 1


def test_details_name_what_keeps_a_project(live: Live) -> None:
    caller = Caller(live)
    path = make_project(caller, "lab")
    caller.call("POST", f"{path}/skills", json.dumps(skill()).encode())
    answer = caller.call("POST", f"{path}/skillinvoke/plain/inputs/request", b'{"payload": 1}')
    activation = json.loads(answer.body)["activationId"]
    answer = caller.call("POST", GRAPH, json.dumps({"query": 'mutation { deleteProject(name: "lab") }'}).encode())
    assert answer.status == 403
    assert "x-auth-error" not in answer.headers  # it would end Fabric's command before it reads the body
    found = json.loads(answer.body)["details"]
    assert found == [{"name": "plain", "type": "skill"}, {"name": activation, "type": "activation"}]


def test_any_row_keeps_a_project(live: Live) -> None:
    """Whatever has a project later is not deleted with it unseen."""
    caller = Caller(live)
    make_project(caller, "lab")
    live.stop_owner()
    with sqlite3.connect(live.state / "state.db") as database:
        database.execute("create table things (project_id text not null)")
        database.execute("insert into things values ('lab')")
    database.close()
    caller = Caller(live)
    assert "things lab" in refused(caller, 403, {"query": 'mutation { deleteProject(name: "lab") }'})


def test_only_the_owners_user_makes_and_deletes_projects(live: Live) -> None:
    caller = Caller(live, tcp=True)
    make_project(caller, "lab")
    admin = make_token(caller, "anna", "admin", "lab").jwt()
    assert names(ask(caller, "{ projects {name} }", token=admin)["projects"]) == ["lab"]
    assert ask(caller, '{ projectByName(name: "lab") {name} }', token=admin)["projectByName"]["name"] == "lab"
    for query in (
        'mutation { createProject(input: {name: "mine"}) {name} }',
        'mutation { deleteProject(name: "lab") }',
    ):
        assert "only the user" in refused(caller, 403, {"query": query}, token=admin)
        assert "x-auth-error" in caller.call("POST", GRAPH, json.dumps({"query": query}).encode(), token=admin).headers
    hidden = refused(caller, 404, {"query": '{ projectByName(name: "local") {name} }'}, token=admin)
    assert hidden.replace("local", "none") == refused(
        caller, 404, {"query": '{ projectByName(name: "none") {name} }'}, token=admin
    )
    assert names(ask(caller, "{ projects {name} }")["projects"]) == ["lab", "local"]
    refused(caller, 401, {"query": "{ projects {name} }"}, token="wrong")


def names(found: list[dict[str, str]]) -> list[str]:
    """Return the names of projects."""
    return [project["name"] for project in found]


NO_QUERIES: list[object] = [
    b"",
    b"[]",
    {},
    {"query": None},
    {"query": 7},
    {"query": ""},
    {"query": "{}"},
    {"query": "{ campaigns { name } }"},
    {"query": "{ projects { name }", "variables": [1]},
    {"query": "query { projectByName { name } }"},
    {"query": "query { projectByName(name: $n) { name } }"},
    {"query": "query { projectByName(name: $n) { name } }", "variables": {"n": 7}},
    {"query": 'query { projectByName(name: "\\x") { name } }'},
    {"query": "mutation { createProject(input: $i) { name } }", "variables": {"i": {"title": "x"}}},
    {"query": "mutation { createProject(input: $i) { name } }", "variables": {"i": {"name": "lab", "title": 7}}},
    {
        "query": "mutation { createProject(input: $i) { name } }",
        "variables": {"i": {"name": "lab", "title": "x" * 1001}},
    },
    *(
        {"query": "mutation { createProject(input: $i) { name } }", "variables": {"i": {"name": name}}}
        for name in ("", "a", "../x", "a/b", "a b", "a\nb", "x" * 64, "-a", 7, None)
    ),
    {"query": 'mutation { deleteProject(name: "local") }'},
    {"query": "{ " * 5000},
]


def test_queries_that_are_none(live: Live) -> None:
    caller = Caller(live)
    for body in NO_QUERIES:
        assert refused(caller, 400, body)
    assert ask(caller, "{ projects {name} }")["projects"] == [LOCAL]


def test_a_refusal_begins_no_other_header(live: Live) -> None:
    caller = Caller(live, tcp=True)
    token = make_token(caller, "anna").jwt()
    for name in ("a%0D%0Ax-evil:%201", "%C3%A9", "%E2%82%AC"):
        answer = caller.call("GET", f"/fabric/v4/projects/{name}/skills", token=token)
        assert answer.status == 403
        assert "x-evil" not in answer.headers
        caller.refused(404, "GET", f"/fabric/v4/projects/{name}/skills")


def test_two_that_make_one_project_at_once(live: Live) -> None:
    caller = Caller(live)

    def make(title: str) -> int:
        body = {"query": f'mutation {{ createProject(input: {{name: "lab", title: "{title}"}}) {{name}} }}'}
        return caller.call("POST", GRAPH, json.dumps(body).encode()).status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(make, "abcdefgh"))
    assert sorted(statuses) == [200, *[409] * 7]
    assert len(ask(caller, "{ projects {name} }")["projects"]) == 2


def test_projects_of_older_states_are_kept(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    live.stop_owner()
    with sqlite3.connect(live.state / "state.db") as database:
        database.execute("update definitions set project_id = 'older'")
        database.execute("delete from projects")
        from fabric_jobs.store.connection import schema_steps

        step = next(path for path in schema_steps() if path.stem == "006_access").read_text()
        fill = step[step.index("insert into projects") : step.index("-- Personal tokens")]
        database.executescript(fill)
    database.close()
    caller = Caller(live)
    assert names(ask(caller, "{ projects {name} }")["projects"]) == ["local", "older"]
    assert json.loads(caller.call("GET", "/fabric/v4/projects/older/skills").body)["skills"][0]["name"] == "plain"


@given(query=st.text(max_size=80) | st.text('{}()$:" projectsByName\\', max_size=80))
def test_no_query_is_more_than_refused(query: str) -> None:
    with suppress(InvalidInput):
        assert _operation({"query": query})[0] in OPERATION


@given(name=st.text(max_size=30))
def test_a_name_is_read_as_it_was_written(name: str) -> None:
    text = json.dumps(name)
    if ")" not in name:
        assert _operation({"query": f"{{ projectByName(name: {text}) {{name}} }}"})[1] == {"name": name}
    query = "query Q($n: String!) { projectByName(name: $n) {name} }"
    assert _operation({"query": query, "variables": {"n": name}})[1] == {"name": name}


@pytest.mark.parametrize("query", ["{ projects {name} }", "query{projects{name}}", "\n{\n  projects\n  {\n name } }"])
def test_a_query_may_be_written_in_any_way(query: str) -> None:
    assert _operation({"query": query}) == ("projects", {})

"""Deployed APIs over HTTP: our routes, and those of Cortex Labs' operator."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.store.definitions import DEPLOYED
from tests.acceptance.live import PROJECT, Live, names
from tests.gateway.access import make_project, make_token
from tests.gateway.test_content import FORM, form
from tests.gateway.test_jobs import Job, held
from tests.gateway.test_users import Caller, skill

__all__ = ["held"]

APIS = f"{PROJECT}/apis"
HANDLER = "class Handler:\n    def __init__(self, config): pass\n    def handle_batch(self, payload): pass\n"
HELLO = """\
- name: hello
  kind: BatchAPI
  handler:
    type: python
    path: handler.py
"""
TASK = """\
- name: {name}
  kind: TaskAPI
  pod:
    containers:
    - name: main
      image: busybox
      command: ["true"]
"""


def zipped(files: Mapping[str, str]) -> bytes:
    """Return an archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return target.getvalue()


def sent(config: str, files: Mapping[str, str] | None = None) -> bytes:
    """Return the form of a deployment."""
    fields = [("config", config.encode(), "Content-Type: text/yaml\r\n")]
    if files is not None:
        fields.append(("project.zip", zipped(files), ""))
    return form(*fields)


class Apis(Caller):
    """Calls the routes of APIs."""

    def __init__(self, live: Live) -> None:
        super().__init__(live, tcp=True)
        self.deployed = live.state / "deployed"

    def deploy(self, config: str = HELLO, files: Mapping[str, str] | None = None) -> Any:
        """Deploy by our route."""
        files = {"handler.py": HANDLER} if files is None else files
        answer = self.call("POST", APIS, sent(config, files), **FORM)
        assert answer.status == 200, answer
        return json.loads(answer.body)["apis"]

    def no(self, body: bytes, *, status: int = 400, path: str = APIS, headers: Mapping[str, str] = FORM) -> str:
        """Return what is said of a deployment that is refused."""
        return self.refused(status, "POST", path, body, **headers)

    def cortex(self, method: str, path: str, body: bytes = b"", *, token: str | None = None, **headers: str) -> Any:
        """Return the answer of the operator."""
        answer = self.call(method, path, body, token=token, **headers)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def wrong(self, kind: str, method: str, path: str, body: bytes = b"", **headers: str) -> str:
        """Return the message of a refusal of the operator."""
        answer = self.call(method, path, body, **headers)
        value = json.loads(answer.body)
        assert (answer.status, value["kind"]) == (400, kind), answer
        message: str = value["message"]
        return message


@pytest.fixture
def apis(live: Live) -> Apis:
    """A gateway's routes of APIs."""
    return Apis(live)


def test_an_api_is_created_updated_and_up_to_date(apis: Apis) -> None:
    (made,) = apis.deploy()
    host, port = apis.place
    assert made["message"] == "created hello (BatchAPI)"
    assert (made["name"], made["kind"], made["version"], made["endpoint"]) == ("hello", "BatchAPI", 1, "/hello")
    assert made["url"] == f"http://{host}:{port}/hello"
    assert apis.deploy()[0]["message"] == "hello (BatchAPI) is up to date"
    assert apis.deploy(HELLO + "# a comment\n")[0]["version"] == 1
    (changed,) = apis.deploy(files={"handler.py": HANDLER + "# changed\n"})
    assert (changed["message"], changed["version"]) == ("updated hello (BatchAPI)", 2)
    (changed,) = apis.deploy(HELLO + "    config: {a: 1}\n")
    assert (changed["message"], changed["version"]) == ("updated hello (BatchAPI)", 3)
    shown = apis.get("/apis/hello")["api"]
    assert shown["spec"]["handler"]["config"] == {"a": 1}
    assert [row["version"] for row in shown["versions"]] == [3, 2, 1]
    assert shown["running"] == 0


def test_an_api_is_a_skill_and_its_files_are_those_of_its_version(apis: Apis) -> None:
    apis.deploy(files={"handler.py": "one", "data/x.json": "{}", ".env": "A=1"})
    apis.deploy(files={"handler.py": "two"})
    assert names(apis.get("/skills")["skills"]) == ["hello"]
    directories = sorted(apis.deployed.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    contents = [
        {path.name: path.read_text() for path in directory.rglob("*") if path.is_file()} for directory in directories
    ]
    assert contents == [{"handler.py": "one", "x.json": "{}", ".env": "A=1"}, {"handler.py": "two"}]


def test_several_apis_are_deployed_or_none(apis: Apis) -> None:
    both = TASK.format(name="a") + TASK.format(name="b")
    assert names(apis.deploy(both, files={})) == ["a", "b"]
    broken = TASK.format(name="c") + TASK.format(name="d").replace("TaskAPI", "TaskApi")
    assert "TaskApi" in apis.no(sent(broken))
    clash = TASK.format(name="e") + HELLO.replace("hello", "a")
    assert "cannot become a BatchAPI" in apis.no(sent(clash, {"handler.py": HANDLER}))
    assert names(apis.get("/apis")["apis"]) == ["a", "b"]
    assert [row["kind"] for row in apis.get("/apis")["apis"]] == ["TaskAPI"] * 2


def test_problems_have_the_name_and_the_place_in_the_file(apis: Apis) -> None:
    wrong = HELLO.replace("path:", "paht:") + "  more: 1\n"
    said = apis.no(sent(wrong, {"handler.py": HANDLER}), path=f"{APIS}?configFileName=x/cortex.yaml")
    assert "x/cortex.yaml:5:" in said
    assert "x/cortex.yaml:6:" in said
    assert "cortex.yaml:2:1" in apis.no(sent("- name: {\n"))


@pytest.mark.parametrize(
    ("config", "files", "said"),
    [
        (HELLO, None, "the files of the project were not sent"),
        (HELLO, {"other.py": ""}, "there is no file 'handler.py'"),
        (HELLO + "    python_path: src\n", {"handler.py": "", "src": ""}, "there is no directory 'src'"),
    ],
)
def test_a_class_must_be_in_the_project(apis: Apis, config: str, files: dict[str, str] | None, said: str) -> None:
    message = apis.no(sent(config, files))
    assert said in message
    assert "cortex.yaml:" in message
    assert apis.get("/apis")["apis"] == []


FORMS = [
    (b"", "no end"),
    (form(), "one field 'config'"),
    (form(("config", b"x", ""), ("config", b"x", "")), "one field 'config'"),
    (form(("other", b"x", "")), "one field 'config'"),
    (form(("config", b"\xff", "")), "not UTF-8"),
    (form(("config", HELLO.encode(), ""), ("project.zip", b"PK", "")), "archive cannot be read"),
    (sent(HELLO, {"../x": "1", "handler.py": ""}), "'../x' is not the name of a file"),
    (sent(HELLO, {"handler.py": ""})[:-20], "no end"),
    (form(("config", b"[]", "")), "no API"),
    (form(("config", b"", "")), ""),
]


@pytest.mark.parametrize(("body", "said"), FORMS, ids=[said or "empty" for _, said in FORMS])
def test_forms_that_are_refused(apis: Apis, body: bytes, said: str) -> None:
    assert said in apis.no(body)
    assert apis.wrong("error", "POST", "/deploy?configFileName=cortex.yaml", body, **FORM)
    assert not apis.deployed.exists() or list(apis.deployed.iterdir()) == []
    assert list(apis.deployed.parent.glob("content/incoming/*")) == []


def test_what_is_no_form_is_refused(apis: Apis) -> None:
    assert "not multipart/form-data" in apis.no(b"{}", headers={"content-type": "application/json"})
    assert "name of the API file" in apis.no(sent(HELLO), path=f"{APIS}?configFileName={'x' * 1001}")
    assert "name of the API file" in apis.no(sent(HELLO), path=f"{APIS}?configFileName=a%0Ab")


def test_limits_of_file_and_project(live: Live) -> None:
    live.environment |= {"FABRIC_JOBS_PROJECT_BYTES": "1000", "FABRIC_JOBS_DEFINITION_BYTES": "10000"}
    apis = Apis(live)
    apis.deploy(files={"handler.py": "x" * 1000})
    assert "over the limit" in apis.no(sent(HELLO, {"handler.py": "x" * 1001}), status=413)
    assert "10,000 bytes" in apis.no(sent("#" * 10_001), status=413)
    large = form(("config", HELLO.encode(), ""), ("project.zip", os.urandom(9 << 20), ""))
    assert "archive is over the limit" in apis.no(large, status=413)
    assert apis.wrong("error", "POST", "/deploy?configFileName=cortex.yaml", large, **FORM)


def test_clashes_are_refused(apis: Apis) -> None:
    apis.post("/skills", skill("plain"))
    assert "is the name of a skill" in apis.no(sent(TASK.format(name="plain")), status=409)
    apis.deploy(TASK.format(name="one"), files={})
    other = TASK.format(name="two") + "  networking: {endpoint: one}\n"
    assert "the endpoint '/one' of 'two' is that of 'one'" in apis.no(sent(other))
    path = "/deploy?configFileName=cortex.yaml"
    assert apis.wrong("spec.duplicate_endpoint", "POST", path, sent(other), **FORM)
    batch = HELLO.replace("hello", "one")
    kind = "resources.cannot_change_kind_of_deployed_api"
    assert apis.wrong(kind, "POST", path, sent(batch, {"handler.py": ""}), **FORM)
    assert apis.get("/apis/one")["api"]["version"] == 1


def test_a_deleted_api_is_gone_and_can_come_back(apis: Apis) -> None:
    apis.deploy(TASK.format(name="one"), files={})
    assert json.loads(apis.call("DELETE", f"{APIS}/one").body)["message"] == "API 'one' is deleted."
    for method in ("GET", "DELETE"):
        assert "no API 'one'" in apis.refused(404, method, f"{APIS}/one")
    assert apis.get("/apis")["apis"] == []
    (again,) = apis.deploy(TASK.format(name="one"), files={})
    assert (again["message"], again["version"]) == ("created one (TaskAPI)", 3)
    apis.refused(404, "GET", f"{APIS}/none")


def test_an_api_that_an_agent_uses_is_not_deleted(apis: Apis) -> None:
    apis.deploy()
    mappings = [{"from": "input", "to": "hello.items"}, {"from": "hello.results", "to": "output"}]
    apis.post("/agents", {"name": "user", "skills": [{"skillName": "hello"}], "mappings": mappings})
    answer = apis.call("DELETE", f"{APIS}/hello")
    assert (answer.status, json.loads(answer.body)["details"]) == (403, [{"name": "user", "type": "agent"}])
    assert "in use by user" in apis.wrong("error", "DELETE", "/delete/hello")
    assert apis.get("/apis/hello")["api"]["version"] == 1


def test_the_operator_answers_as_cortex_labs_does(apis: Apis) -> None:
    files = {"handler.py": HANDLER}
    (made,) = apis.cortex("POST", "/deploy?force=true&configFileName=cortex.yaml", sent(HELLO, files), **FORM)
    assert (made["message"], made["error"]) == ("created hello (BatchAPI)", "")
    spec, host = made["api"]["spec"], ":".join(map(str, apis.place))
    assert (spec["name"], spec["kind"], spec["networking"]) == ("hello", "BatchAPI", {"endpoint": "/hello"})
    assert made["api"]["endpoint"] == f"http://{host}/hello"
    assert made["api"]["metadata"]["api_id"] == spec["id"]
    (listed,) = apis.cortex("GET", "/get")
    assert listed["spec"] == spec
    assert listed["batch_job_statuses"] == []
    apis.cortex("POST", "/deploy?configFileName=x.yaml", sent(HELLO + "    config: {a: 1}\n", files), **FORM)
    (shown,) = apis.cortex("GET", "/get/hello")
    versions = [row["api_id"] for row in shown["api_versions"]]
    assert versions == [shown["spec"]["id"], spec["id"]]
    (older,) = apis.cortex("GET", f"/get/hello/{spec['id']}")
    assert older["spec"]["handler"]["config"] == {}
    assert apis.cortex("DELETE", "/delete/hello?keepCache=true") == {"message": "deleting hello"}
    assert apis.cortex("GET", "/get") == []


def test_the_operator_refuses_as_cortex_labs_does(apis: Apis) -> None:
    unknown = "resources.api_not_deployed"
    for method, path in (
        ("GET", "/get/none"),
        ("GET", "/get/none/x"),
        ("DELETE", "/delete/none"),
        ("GET", "/logs/none"),
    ):
        assert "'none' is not deployed" in apis.wrong(unknown, method, path)
    apis.deploy()
    assert "no version" in apis.wrong("resources.api_id_not_found", "GET", "/get/hello/x")
    assert apis.wrong("endpoints.logs_job_id_required", "GET", "/logs/hello")
    assert apis.wrong("job.not_found", "GET", "/logs/hello?jobID=69d6faf82e4660d3")
    assert "'configFileName'" in apis.wrong("endpoints.query_param_required", "POST", "/deploy", sent(HELLO), **FORM)


def test_what_the_operator_says_of_itself(apis: Apis) -> None:
    assert apis.cortex("GET", "/verifycortex", token="") == {}
    config = apis.cortex("GET", "/info")["cluster_config"]
    assert config["operator_endpoint"] == f"http://{':'.join(map(str, apis.place))}"
    assert apis.call("GET", "/info", token="").status == 401


def test_who_may_deploy(held: Live) -> None:
    apis = Apis(held)
    tokens = {role: make_token(apis, role, role).jwt() for role in ("read", "run", "admin")}
    body = sent(TASK.format(name="one"))
    for role, token in tokens.items():
        for path in (APIS, "/deploy?configFileName=cortex.yaml"):
            status = 200 if role == "admin" else 403
            assert apis.call("POST", path, body, token=token, **FORM).status == status, (role, path)
        assert apis.call("DELETE", "/delete/one", token=token).status == (200 if role == "admin" else 403), role
    program = Job(held).message["token"]
    assert apis.call("POST", "/deploy?configFileName=cortex.yaml", body, token=program, **FORM).status == 200
    assert names(apis.get("/apis")["apis"]) == ["one"]
    assert apis.call("DELETE", "/delete/one", token=program).status == 200


def test_a_token_deploys_into_its_own_project(apis: Apis) -> None:
    other = make_project(apis, "other")
    token = make_token(apis, "anna", "admin", "other").jwt()
    apis.cortex("POST", "/deploy?configFileName=cortex.yaml", sent(TASK.format(name="one")), token=token, **FORM)
    assert names([row["metadata"] for row in apis.cortex("GET", "/get", token=token)]) == ["one"]
    assert apis.cortex("GET", "/get") == []
    assert names(json.loads(apis.call("GET", f"{other}/apis").body)["apis"]) == ["one"]
    assert apis.call("GET", APIS, token=token).status == 403


def test_a_state_directory_that_was_moved_keeps_its_files(live: Live, tmp_path: Path) -> None:
    Apis(live).deploy()
    live.stop_owner()
    live.root = live.root.rename(tmp_path / "moved")
    live.state = live.root / ".fabric-jobs"
    apis = Apis(live)
    assert apis.deploy()[0]["message"] == "hello (BatchAPI) is up to date"
    assert DEPLOYED in str(apis.deployed)


def test_files_that_nothing_needs_are_pruned(live: Live) -> None:
    apis = Apis(live)
    apis.deploy(files={"handler.py": "one"})
    apis.deploy(files={"handler.py": "two"})
    apis.deploy(HELLO.replace("hello", "other"), files={"handler.py": "three"})
    assert json.loads(apis.call("DELETE", f"{APIS}/other").body)["success"] is True
    for path in apis.deployed.iterdir():
        os.utime(path, (1, 1))
    assert apis.post("/state/prune", {})["success"] is True
    (left,) = apis.deployed.iterdir()
    assert (left / "handler.py").read_text() == "two"


def test_missing_files_are_found_and_deployed_again(live: Live) -> None:
    apis = Apis(live)
    apis.deploy()
    assert apis.get("/state/check")["violations"] == []
    (directory,) = apis.deployed.iterdir()
    shutil.rmtree(directory)
    (said,) = apis.get("/state/check")["violations"]
    assert said == f"API 'hello' of project local: its project files are missing: {directory}"
    assert apis.deploy()[0]["message"] == "hello (BatchAPI) is up to date"
    assert (directory / "handler.py").read_text() == HANDLER
    assert apis.get("/state/check")["violations"] == []


def test_a_backup_has_the_files(live: Live, tmp_path: Path) -> None:
    apis = Apis(live)
    apis.deploy(files={"handler.py": HANDLER, "sub/x": "1"})
    live.ok("state", "backup", tmp_path / "backup")
    (copied,) = (tmp_path / "backup" / "deployed").iterdir()
    assert (copied / "sub/x").read_text() == "1"
    assert (copied / "handler.py").stat().st_mode & 0o777 == 0o644

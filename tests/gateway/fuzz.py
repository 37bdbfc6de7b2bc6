"""Schemathesis against a running gateway: `python -m tests.gateway.fuzz --requests 20000 --role run`.

It makes good and bad requests from `/openapi.json`, and checks that no answer is a 5xx and that each agrees with the
document. It is told existing ids and names, since otherwise nearly all calls would end in a 404.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs.runtime.fabric_skill.http import Connection
from tests.acceptance.live import PROJECT, Live
from tests.gateway.access import make_token
from tests.gateway.test_users import Caller

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,positive_data_acceptance,unsupported_method,"
    "allow_header_conformance,ignored_auth"
)
# A definition can match the schema and still name a missing action: that is a 400, too.
CONFIG = """
[[operations]]
include-operation-id = ["saveSkill", "saveAgent"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403"]

# No schema tells which texts are one of the four GraphQL operations.
[[operations]]
include-operation-id = ["askProjects"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409"]

# A key of content must be UTF-8 without control characters, which no schema of a path says well.
[[operations]]
include-operation-id = ["examineContent", "downloadContent", "uploadContent", "deleteContent"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "400", "403", "404", "416"]

# No schema tells that scheduleName needs scheduleCron, that both exclude a key, and which texts are cron expressions.
[[operations]]
include-operation-id = ["invokeSkill", "invokeAgent", "saveSchedule", "applySchedules"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409"]

# The name of an artifact is a part of a key of content.
[[operations]]
include-operation-id = ["uploadArtifact", "downloadArtifact"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "416"]

# A connection may name a secret that is not there.
[[operations]]
include-operation-id = ["showResolvedConnection"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

# Neither says a schema all that an action may have, nor that some words cannot be a part of a name.
[[operations]]
include-operation-id = ["saveConnection", "saveType", "saveModel", "saveExperiment", "saveAction"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403"]

# No schema tells what a batch may have, which APIs are deployed, and of which kind each is.
[[operations]]
include-operation-id = ["submitBatchJob", "submitTaskJob", "submitJob"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

# These need an existing job, and its id is not in the path.
[[operations]]
include-operation-id = ["showBatchJob", "showTaskJob", "showJobOfEndpoint", "stopBatchJob", "stopTaskJob", "stopJobOfEndpoint"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

# The API file in a form is text, and its own schema is not that of the form.
[[operations]]
include-operation-id = ["deployApis", "operatorDeploy"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "409"]

# Cortex Labs' operator has no 404.
[[operations]]
include-operation-id = ["operatorShow", "operatorShowVersion", "operatorDelete", "operatorLogs"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403"]

# A job without dead letters, or without dead batches for its queue, is a 400.
[[operations]]
include-operation-id = ["retryFailed", "retryQueue"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

# A dead letter that is tried again already is a 400.
[[operations]]
include-operation-id = ["retryDeadLetters"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]
"""
# A backup goes to any path that the request names. Over TCP it is refused, but if that ever failed, nothing must be written.
LEFT_OUT = "^startBackup$"
ROLES = ("owner", "admin", "run", "read")
TOKEN_SECONDS = 7_200
METHODS = {"get", "post", "put", "delete", "patch"}


@dataclass(frozen=True)
class Found:
    """The result of a run."""

    requests: int
    code: int
    said: str


def run(live: Live, requests: int, *, seed: int, role: str = "owner", quick: bool = False) -> Found:
    """Send about `requests` requests to the gateway of a workspace, with a token of this role."""
    live.environment["FABRIC_JOBS_JOB_WORKERS"] = "2"
    live.skill("echo", "print(message()['payload'], end='')")
    live.agent("echoes", ("input", "echo"), ("echo", "output"))
    live.skill("refuses", "sys.exit(3)", onError="continue")
    activation = live.invoke("echoes", 1, kind="agents")["activationId"]
    failed = live.fail("refuses")[0]["activationId"]
    live.ok("schedules", "create", "echo", "--cron", "@daily", "--skill", "echo")
    address = live.published()
    host, _, port = address.url.removeprefix("http://").partition(":")
    connection = Connection((host, int(port)), address.token)
    document = json.loads(connection.request("GET", "/openapi.json").body)
    tasks = json.loads(connection.request("GET", f"{PROJECT}/tasks").body)["tasks"]
    session = make_documents(connection)
    job = make_job(connection)
    known = {"project": ["local"], "name": ["echo", "echoes"], "action": ["echo"], "activation": [activation, failed]}
    known |= {"task": [*(task["name"] for task in tasks), "echo"], "letter": ["1"]}
    known |= {"run": ["echo"], "session": [session], "api": ["api"], "endpoint": ["api"], "job": [job]}
    make_known(document, {**known, "entry": ["request", "input"]})
    place = live.root.parent / "openapi.json"
    place.write_text(json.dumps(document))
    operations = sum(len(METHODS & set(methods)) for methods in document["paths"].values())
    before = counted(connection)
    config = live.root.parent / "schemathesis.toml"
    config.write_text(CONFIG)
    command: list[object] = [Path(sys.executable).parent / "schemathesis", "--config-file", config]
    command += ["run", place, "--url", address.url, "--checks", CHECKS, "--no-color"]
    token = address.token if role == "owner" else make_token(Caller(live), "fuzz", role).jwt(seconds=TOKEN_SECONDS)
    command += ["--header", f"Authorization: Bearer {token}", "--seed", seed]
    command += ["--max-examples", max(1, requests // operations), "--phases"]
    # Making whole definitions takes most of schemathesis's time.
    command += ["fuzzing"] if quick else ["examples,coverage,fuzzing"]
    command += ["--exclude-operation-id-regex", f"^save|{LEFT_OUT}" if quick else LEFT_OUT]
    command += ["--continue-on-failure", "--no-shrink", "--warnings", "off", "--request-timeout", "30"]
    command += ["--generation-database", "none", "--suppress-health-check", "all"]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=live.root.parent,
        capture_output=True,
        text=True,
        env=live.environment,
        check=False,
    )
    count = counted(connection) - before
    connection.close()
    return Found(count, done.returncode, done.stdout + done.stderr)


def make_documents(connection: Connection) -> str:
    """Save a document of each kind; return the id of a session."""

    def post(path: str, **body: object) -> Any:
        return json.loads(connection.request("POST", PROJECT + path, json.dumps(body).encode()).body)

    post("/connections", name="echo", connectionType="mongo")
    for kind in ("types", "models", "experiments", "actions"):
        post(f"/{kind}", name="echo")
    post("/experiments/echo/runs", runId="echo")
    return str(post("/sessions", ttl=100_000)["sessionId"])


def make_job(connection: Connection) -> str:
    """Save an API whose program is not there, and submit a job to it; return the id of the job."""
    pod = {"containers": [{"name": "api", "image": "api", "command": ["no-such-program"]}]}
    body = {"name": "api", "api": {"name": "api", "kind": "BatchAPI", "pod": pod}}
    connection.request("POST", f"{PROJECT}/skills", json.dumps(body).encode())
    submission = {"workers": 1, "item_list": {"items": [1], "batch_size": 1}}
    return str(json.loads(connection.request("POST", "/batch/api", json.dumps(submission).encode()).body)["job_id"])


def make_known(document: dict[str, Any], values: dict[str, list[str]]) -> None:
    """Make half of the values of some parameters existing ones, and let no call wait for long."""
    document["paths"] = {path.replace("{project}", "local"): methods for path, methods in document["paths"].items()}
    every = [item for methods in document["paths"].values() for item in methods.items()]
    for method, operation in every:
        found = operation.get("parameters", [])
        operation["parameters"] = [parameter for parameter in found if parameter["name"] not in ("project", "wait")]
        for parameter in operation["parameters"]:
            if parameter["in"] == "path" and parameter["name"] in values:
                # Existing definitions must stay, or nothing could be invoked any more.
                given = ["word-count", "1000"] if method == "delete" else values[parameter["name"]]
                parameter["schema"] = {"anyOf": [{"enum": given}, parameter["schema"]]}
        content = operation.get("requestBody", {}).get("content", {})
        if "application/x-ndjson" in content:  # schemathesis cannot write it as text
            content["text/plain"] = content.pop("application/x-ndjson")


def counted(connection: Connection) -> int:
    """Return the number of requests that the gateway has received."""
    text = connection.request("GET", "/metrics").body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("fabric_jobs_http_requests_total ")]
    return int(line.split()[1])


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Schemathesis against a running gateway.")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--role", choices=ROLES, default=ROLES[0])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        live = Live(Path(directory) / "w", idle_seconds=60.0)
        try:
            found = run(live, given.requests, seed=given.seed, role=given.role)
            log = (live.state / "owner.log").read_text()
        finally:
            live.close()
    print(found.said)
    print(f"{found.requests:,} requests; schemathesis exited with {found.code}; owner.log has {len(log):,} bytes")
    print(log[-4000:])
    sys.exit(found.code)


if __name__ == "__main__":
    main()

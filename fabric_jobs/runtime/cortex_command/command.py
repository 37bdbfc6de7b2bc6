"""The verbs of the command: env, deploy, get, delete, refresh, logs, version."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from . import environments, files
from .calls import Operator, own_token
from .environments import Environments
from .refused import Refused

VERSION = "0.42.1"  # of the Python client that this is made for
FORMATS = ("json", "pretty", "table", "mixed", "yaml")  # all are printed as JSON


class Surroundings:
    """What the command finds around it. This is for a program of a worker, where only the standard library is sure."""

    def __init__(self) -> None:
        self.place = environments.directory()

    def environments(self) -> Environments:
        """Return the known environments; raise Refused."""
        return environments.load(self.place)

    def operator(self, name: str) -> Operator:
        """Return the gateway of an environment, the default one if `name` is empty; raise Refused."""
        return Operator(self.environments().endpoint(name), own_token())

    def ignore(self, directory: str) -> files.Ignore:
        """Return what the .cortexignore of a project ignores; raise Refused."""
        path = os.path.join(directory, files.IGNORE_FILE)
        if os.path.exists(path):
            hint = f"Set CORTEX_CLI_PATH to fabric-jobs-cortex where that is installed, or remove {path}."
            raise Refused("files.ignore", f"{files.IGNORE_FILE} cannot be read here: it needs fabric-jobs.", hint)
        return files.nothing_ignored

    @property
    def limit(self) -> int | None:
        """The limit of a project in bytes; None: the gateway checks it."""
        return None


def main(arguments: list[str], found: Surroundings) -> int:
    """Run the command; return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        verb: Callable[[argparse.Namespace, Surroundings], Any] = given.verb
        answer = verb(given, found)
    except Refused as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return 1
    if answer is not None:
        print(json.dumps(answer))
    return 0


def deploy(given: argparse.Namespace, found: Surroundings) -> Any:
    """Deploy the APIs of a file."""
    operator = found.operator(given.env)
    path = os.path.abspath(given.file)
    try:
        with open(path, "rb") as file:
            config = file.read()
    except OSError as error:
        raise files.unreadable(given.file, error) from error
    project = files.project_files(path, found.ignore(os.path.dirname(path)))
    if found.limit is not None:
        files.check_size(project, found.limit)
    for name in project.skipped:
        print(f"{name} is left out: it is neither a file nor a directory.", file=sys.stderr)
    query = {"force": str(given.force).lower(), "configFileName": os.path.basename(path)}
    with tempfile.TemporaryFile() as archive:
        if project.files:
            files.pack(project, archive)
        kind, size, parts = files.form(config, archive if project.files else None)
        headers = {"Content-Type": kind, "Content-Length": str(size)}
        return operator.send("/deploy", query, parts, headers)


def get(given: argparse.Namespace, found: Surroundings) -> Any:
    """Show all APIs, one API, or a job."""
    operator = found.operator(given.env)
    if given.job is None:
        return operator.json("GET", "/get" if given.api is None else f"/get/{_segment(given.api)}")
    return operator.json("GET", _jobs_path(operator, given.api), {"jobID": given.job})


def delete(given: argparse.Namespace, found: Surroundings) -> Any:
    """Delete an API, or stop a job."""
    operator = found.operator(given.env)
    if given.job is None:
        query = {"keepCache": str(given.keep_cache).lower()}
        return operator.json("DELETE", f"/delete/{_segment(given.api)}", query)
    return operator.json("DELETE", _jobs_path(operator, given.api), {"jobID": given.job})


def refresh(given: argparse.Namespace, found: Surroundings) -> Any:
    """Refuse: jobs begin with new workers each time."""
    kind = _kind_of(found.operator(given.env), given.api)
    raise Refused(
        "resources.operation_is_only_supported_for_kind",
        f"'{given.api}' is a {kind}: each of its jobs starts new workers, so there is nothing to refresh.",
    )


def logs(given: argparse.Namespace, found: Surroundings) -> None:
    """Print the logs of a job's workers, and follow them until it ends."""
    operator = found.operator(given.env)
    if given.job is None:
        raise Refused(
            "endpoints.logs_job_id_required", "name the job: logs API JOB.", "Its id came with the submission."
        )
    url = operator.json("GET", f"/logs/{_segment(given.api)}", {"jobID": given.job})["log_url"]
    for piece in operator.log(url):
        sys.stdout.write(piece)
        sys.stdout.flush()


def env_list(given: argparse.Namespace, found: Surroundings) -> Any:
    """List the environments."""
    return found.environments().shown()


def env_configure(given: argparse.Namespace, found: Surroundings) -> None:
    """Add or change an environment."""
    if not given.endpoint.startswith(("http://", "https://")):
        hint = "Write it with http:// or https://, as in http://localhost:8888."
        raise Refused("cli.operator_endpoint", f"'{given.endpoint}' is not the URL of a gateway.", hint)
    known = environments.load(found.place).with_one(given.name, given.endpoint.rstrip("/"))
    environments.save(found.place, known)
    print(f"configured {given.name} environment", file=sys.stderr)


def env_delete(given: argparse.Namespace, found: Surroundings) -> None:
    """Delete an environment."""
    environments.save(found.place, environments.load(found.place).without(given.name))
    print(f"deleted the {given.name} environment", file=sys.stderr)


def env_default(given: argparse.Namespace, found: Surroundings) -> None:
    """Make an environment the default one."""
    known = environments.load(found.place)
    known.endpoint(given.name)
    environments.save(found.place, known._replace(default=given.name))
    print(f"set {given.name} as the default environment", file=sys.stderr)


def version(given: argparse.Namespace, found: Surroundings) -> None:
    """Print the version of the client that this is made for."""
    print(VERSION)


def _jobs_path(operator: Operator, api: str) -> str:
    return f"/{'tasks' if _kind_of(operator, api) == 'TaskAPI' else 'batch'}/{_segment(api)}"


def _kind_of(operator: Operator, api: str) -> str:
    return str(operator.json("GET", f"/get/{_segment(api)}")[0]["spec"]["kind"])


def _segment(name: str) -> str:
    return quote(name, safe="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fabric-jobs-cortex", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    one = _verb(verbs, deploy)
    one.add_argument("file", metavar="FILE", nargs="?", default="cortex.yaml", help="the API file")
    one.add_argument("-f", "--force", action="store_true", help="accepted; an update never waits for another one")
    one = _verb(verbs, get)
    one.add_argument("api", metavar="API", nargs="?")
    one.add_argument("job", metavar="JOB", nargs="?")
    one = _verb(verbs, delete)
    one.add_argument("api", metavar="API")
    one.add_argument("job", metavar="JOB", nargs="?")
    one.add_argument("-f", "--force", action="store_true", help="do not ask; this command never asks")
    one.add_argument("-c", "--keep-cache", action="store_true", help="accepted; the records of jobs are always kept")
    one = _verb(verbs, refresh)
    one.add_argument("api", metavar="API")
    one.add_argument("-f", "--force", action="store_true")
    one = _verb(verbs, logs)
    one.add_argument("api", metavar="API")
    one.add_argument("job", metavar="JOB", nargs="?")
    one.add_argument("--random-pod", action="store_true", help="accepted; the logs of all workers are printed")
    _verb(verbs, version)
    inner = verbs.add_parser("env", help="list, configure and delete environments").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _verb(inner, env_list, "list")
    one = _verb(inner, env_configure, "configure")
    one.add_argument("name", metavar="NAME")
    one.add_argument("-o", "--operator-endpoint", dest="endpoint", metavar="URL", required=True)
    for verb, name in ((env_delete, "delete"), (env_default, "default")):
        _verb(inner, verb, name).add_argument("name", metavar="NAME")
    return parser


def _verb(verbs: Any, verb: Callable[..., Any], name: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name or verb.__name__, help=(verb.__doc__ or "").rstrip("."))
    parser.set_defaults(verb=verb)
    if verb not in (env_configure, version):
        parser.add_argument("-o", "--output", choices=FORMATS, default="json", help="accepted; JSON is printed")
    if not name:
        parser.add_argument("-e", "--env", default="", metavar="NAME", help="the environment; default: the default one")
        parser.add_argument("-y", "--yes", action="store_true", help="accepted; this command never asks")
    return parser

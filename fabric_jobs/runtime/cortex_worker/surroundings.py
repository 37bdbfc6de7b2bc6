"""Gives the class of an API what Cortex Labs gave it: its own directory, variables, files, and an address for `cortex.client()`."""

from __future__ import annotations

import atexit
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import environment_file
from .relay import Relay
from .user_class import Unusable

if TYPE_CHECKING:
    from ..cortex_internal.lib.log import set_level
    from ..fabric_skill import gateway
else:
    from cortex_internal.lib.log import set_level
    from fabric_skill import gateway

VERSION = "0.42.1"  # of Cortex Labs, for clients that compare
MNT, TEMPORARY = (
    "/mnt",
    "/tmp/cortex",
)  # of a container, where the files are; the second where the first is not writable
INGRESS_PORT, OPERATOR_PORT = (
    80,
    8888,
)  # where code for Cortex Labs expects the gateway, under names that lead to the container
KEPT = ("FABRIC_JOBS_", "CORTEX_TOKEN", "CORTEX_PAYLOAD")  # variables that `.env` does not change
LEFT_OUT = "__pycache__"  # of a project, like what begins with a dot


def prepare(wanted: dict[str, Any]) -> None:
    """Make the surroundings of the class, and let this process work in them. Raises Unusable for an invalid `.env`."""
    source, own = os.getcwd(), _directory(wanted)
    project = os.path.join(own, "project")
    _copy_project(source, project)
    os.chdir(project)
    os.environ.update(_variables(wanted, own, project, _relayed(is_alone=wanted["place"] != "local")))
    try:
        found = environment_file.variables(project)
    except ValueError as error:
        raise Unusable(f"{error}.") from None
    more = found.pop("PYTHONPATH", "").split(os.pathsep)
    os.environ.update({name: text for name, text in found.items() if not name.startswith(KEPT)})
    set_level()
    if wanted["place"] != "local":
        from .dependencies import install  # late: elsewhere the executor has done it

        install(wanted["code"])
    _search(source, [*filter(None, more), os.environ["CORTEX_PYTHON_PATH"]])


def _relayed(*, is_alone: bool) -> str:
    """Return the gateway's address for the code; `is_alone`: in a container, which has ports of its own."""
    if not is_alone:
        return Relay.hidden(gateway.address(), gateway.token()).url
    with suppress(OSError):
        Relay(gateway.address(), gateway.token(), port=INGRESS_PORT)
    return Relay(gateway.address(), gateway.token(), port=OPERATOR_PORT).url


def _directory(wanted: dict[str, Any]) -> str:
    """Make the directory of this worker's files, which goes with it."""
    if wanted["place"] != "local":
        own = MNT if os.access(MNT, os.W_OK) else TEMPORARY
    else:
        own = os.path.join(os.path.dirname(os.environ["FABRIC_JOBS_WORKER_FILE"]), "cortex")
        atexit.register(_remove, own, os.getpid())
    os.makedirs(own, mode=0o700, exist_ok=True)
    return own


def _remove(directory: str, pid: int) -> None:
    """Remove a directory without `shutil`, whose import takes longer than this."""
    if os.getpid() != pid:
        return  # a forked child
    for place, folders, names in os.walk(directory, topdown=False):
        for path in (os.path.join(place, name) for name in (*names, *folders)):
            with suppress(OSError):
                (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)
    with suppress(OSError):
        os.rmdir(directory)


def _copy_project(source: str, target: str) -> None:
    """Copy the project, which all workers share, so that the code may write into its working directory."""
    for place, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != LEFT_OUT and not name.startswith(".")]
        there = os.path.join(target, os.path.relpath(place, source))
        os.makedirs(there, exist_ok=True)
        for name in (name for name in names if name == environment_file.FILE or not name.startswith(".")):
            _copy(os.path.join(place, name), os.path.join(there, name))


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as reading, open(target, "wb") as writing:
        while True:
            part = reading.read(1 << 20)
            if not part:
                break
            writing.write(part)
    os.chmod(target, os.stat(source).st_mode & 0o777 | 0o600)


def _variables(wanted: dict[str, Any], own: str, project: str, url: str) -> dict[str, str]:
    code, is_batch = wanted["code"], wanted["kind"] == "BatchAPI"
    client = {"default_environment": "default", "environments": [{"name": "default", "operator_endpoint": url}]}
    job = _write(own, "spec", "batch.json" if is_batch else "task.json", wanted["job"])
    api = _write(own, "spec", "spec.json", wanted["api"])
    config = _write(own, "client", "cli.yaml", client)  # JSON is YAML
    return {
        "CORTEX_KIND": wanted["kind"],
        "CORTEX_VERSION": VERSION,
        "CORTEX_JOB_SPEC" if is_batch else "CORTEX_TASK_SPEC": job,
        "CORTEX_JOB_FILE": job,
        "CORTEX_API_SPEC": api,
        "CORTEX_PROJECT_DIR": project,
        "CORTEX_PYTHON_PATH": os.path.normpath(os.path.join(project, code["python_path"])),
        "CORTEX_CACHE_DIR": _made(own, "cache"),
        "CORTEX_MODEL_DIR": _made(own, "model"),
        "CORTEX_LOG_LEVEL": code["log_level"].upper(),
        "CORTEX_GATEWAY_URL": url,
        "CORTEX_CLI_CONFIG_DIR": os.path.dirname(config),
        "CORTEX_CLI_PATH": _program(own),
        "CORTEX_TELEMETRY_DISABLE": "true",
    }


def _write(own: str, folder: str, name: str, value: Any) -> str:
    path = os.path.join(_made(own, folder), name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path


def _program(own: str) -> str:
    """Write the program that the Python package `cortex` calls, for the interpreter of this worker."""
    path = os.path.join(_made(own, "client"), "cortex")
    runtime = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nPYTHONPATH="{runtime}" exec "{sys.executable}" -m cortex_command "$@"\n')
    os.chmod(path, 0o700)
    return path


def _made(own: str, folder: str) -> str:
    path = os.path.join(own, folder)
    os.makedirs(path, exist_ok=True)
    return path


def _search(source: str, more: list[str]) -> None:
    """Search modules behind PYTHONPATH in `more`, and not in the shared copy, where this process started."""
    sys.path[:] = [each for each in sys.path if each not in ("", source)]
    given = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    at = 1 + max((place for place, each in enumerate(sys.path) if each in given), default=-1)
    sys.path[at:at] = more
    os.environ["PYTHONPATH"] = os.pathsep.join([*given, *more])

"""The containers of an API's worker: as programs of a place that has containers, or as processes of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabric_jobs import sizes
from fabric_jobs.apis import Api, ApiContainer, Probe
from fabric_jobs.executors import dockerfile
from fabric_jobs.executors.base import Health, Limits, ProcessSpec
from fabric_jobs.executors.port_exchange import Exchange
from fabric_jobs.executors.ports import ANYWHERE, LOCALHOST
from fabric_jobs.runtime.cortex_worker.expansion import all_expanded, expanded

SHARED = ("/mnt", "/cortex")
JOB_FILE = "/cortex/spec/job.json"
CLIENT_FILE = "/cortex/client/cli.yaml"
HOSTS = ("ingressgateway-operator.istio-system.svc.cluster.local", "operator.default.svc.cluster.local")
VERSION = "0.42.1"  # of Cortex Labs' last release, whose behavior this is
COMMON = {"CORTEX_VERSION": VERSION, "CORTEX_LOG_LEVEL": "INFO"}
OPERATOR = "http://operator.default.svc.cluster.local:8888"
CLIENT = f"""\
telemetry: false
default_environment: default
environments:
- name: default
  operator_endpoint: {OPERATOR}
"""
PLACED = {JOB_FILE: "job.json", CLIENT_FILE: "cli.yaml"}  # path in every container -> name of the attempt's file
PORT = "CORTEX_PORT"


def files(job: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of an attempt that its containers see at the paths in PLACED."""
    return {PLACED[JOB_FILE]: json.dumps(job).encode(), PLACED[CLIENT_FILE]: CLIENT.encode()}


def in_containers(api: Api, gateway: str) -> tuple[ProcessSpec, ...]:
    """Return the containers as programs beside the worker. They reach the gateway's host `gateway` without a proxy."""
    return tuple(_program(container, _variables(api), gateway) for container in api.containers)


def _variables(api: Api) -> dict[str, str]:
    """Return the variables that every container gets where containers have the literal paths."""
    found = {
        **COMMON,
        "CORTEX_CLI_CONFIG_DIR": CLIENT_FILE.rpartition("/")[0],
        "CORTEX_JOB_FILE": JOB_FILE,
        "CORTEX_GATEWAY_URL": OPERATOR,
    }
    return {**found, PORT: str(api.port)} if api.is_batch else found


def _program(container: ApiContainer, variables: Mapping[str, str], gateway: str) -> ProcessSpec:
    compute = container.compute
    environment = all_expanded(variables, container.env)
    return ProcessSpec(
        directory=None,
        command=tuple(expanded(word, environment) for word in (*container.command, *container.args)),
        image=container.image,
        environment=environment,
        gateway=gateway,
        limits=Limits(
            memory=_bytes(compute.mem),
            gpu=compute.gpu,
            shm=_bytes(compute.shm),
            reserved_cpu=sizes.processors_of(compute.cpu),
        ),
        name=container.name,
        health=_health(container.liveness_probe),
    )


def _health(probe: Probe | None) -> Health | None:
    """Return a liveness probe that runs a command; the worker asks the others."""
    if probe is None or probe.kind != "exec":
        return None
    times = (probe.initial_delay_seconds, probe.period_seconds, probe.timeout_seconds)
    return Health(probe.command, *times, probe.failure_threshold)


def _bytes(size: str) -> int:
    return sizes.bytes_of(size) if size else 0


def on_this_machine(api: Api, shown: list[dict[str, Any]], directory: Path | None) -> dict[str, Any]:
    """Return what a worker's file says of containers that run as processes in `directory`; `shown` is what it says elsewhere.

    They get a free port instead of the declared one, in CORTEX_PORT and where a command or a variable certainly means it.
    Paths that a Dockerfile there copies into the image are those of this machine.
    """
    exchange = Exchange(str(api.port), f"$({PORT})") if api.is_batch else None
    file = dockerfile.read_file(directory / "Dockerfile") if directory is not None else None
    found = []
    for each in shown:
        words: tuple[str, ...] = (*each["command"], *each["args"])
        variables = dict(each["env"])
        if file is not None and directory is not None:
            words = file.local_words(words, directory)
        if exchange is not None:
            words, variables = exchange.words(words), exchange.variables(variables)
        local = {name: ANYWHERE.sub(LOCALHOST, value) for name, value in variables.items()}
        found.append({**each, "command": [ANYWHERE.sub(LOCALHOST, word) for word in words], "args": [], "env": local})
    remarks = exchange.remarks() if exchange is not None else ()
    return {"containers": found, "variables": COMMON, "remarks": list(remarks)}

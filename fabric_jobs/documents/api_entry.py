"""An API → the entry of an API file that says all of it, defaults too. Reading the entry gives the same API."""

from __future__ import annotations

from typing import Any

from fabric_jobs.apis import Api, ApiCode, ApiContainer, Compute, Probe


def entry_of(api: Api) -> dict[str, Any]:
    """Return the entry of an API, as a JSON value, in the order of the reference page."""
    entry: dict[str, Any] = {"name": api.name, "kind": api.kind}
    if api.code is None:
        entry["pod"] = _pod(api)
        entry["node_groups"] = list(api.node_groups) or None
    else:
        entry["handler" if api.is_batch else "definition"] = _code(api.code, is_handler=api.is_batch)
        compute = _compute(api.compute)
        del compute["shm"]
        entry["compute"] = {**compute, "node_groups": list(api.node_groups) or None}
    return {**entry, "networking": {"endpoint": api.endpoint}}


def _pod(api: Api) -> dict[str, Any]:
    containers = [_container(container) for container in api.containers]
    if not api.is_batch:
        return {"containers": containers}
    return {"port": api.port, "max_concurrency": api.max_concurrency, "containers": containers}


def _container(container: ApiContainer) -> dict[str, Any]:
    return {
        "name": container.name,
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        "env": dict(container.env),
        "compute": _compute(container.compute),
        "readiness_probe": _probe(container.readiness_probe),
        "liveness_probe": _probe(container.liveness_probe),
    }


def _compute(compute: Compute) -> dict[str, Any]:
    return {
        "cpu": compute.cpu or None,
        "mem": compute.mem or None,
        "gpu": compute.gpu,
        "inf": compute.inf,
        "shm": compute.shm or None,
    }


def _probe(probe: Probe | None) -> dict[str, Any] | None:
    if probe is None:
        return None
    handlers: dict[str, dict[str, Any]] = {
        "http_get": {"port": probe.port, "path": probe.path},
        "tcp_socket": {"port": probe.port},
        "exec": {"command": list(probe.command)},
    }
    numbers = {key: value for key, value in probe._asdict().items() if key not in ("kind", "port", "path", "command")}
    return {probe.kind: handlers[probe.kind], **numbers}


def _code(code: ApiCode, *, is_handler: bool) -> dict[str, Any]:
    return {
        **({"type": "python"} if is_handler else {}),
        "path": code.path,
        "config": dict(code.config),
        "python_path": code.python_path or None,
        "image": code.image or None,
        "env": dict(code.env),
        "log_level": code.log_level,
        "shm_size": code.shm_size or None,
        "warm": False if code.warm is None else {"preload": list(code.warm)},
        "dependencies": {"pip": code.pip, "conda": code.conda, "shell": code.shell},
    }

"""The containers of an API as programs of a place, and as processes of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from fabric_jobs.apis import BATCH, TASK, Api, ApiContainer, Compute, Probe
from fabric_jobs.engine import containers, worker_file
from fabric_jobs.executors.base import AttemptSpec, Limits, ProcessSpec
from fabric_jobs.runtime.cortex_worker import probes

JOB = {"job_id": "7f", "config": None}


def api(*found: ApiContainer, kind: str = BATCH, port: int = 8080) -> Api:
    return Api("hello", kind, "/hello", containers=found, port=port)


def container(*command: str, **more: Any) -> ApiContainer:
    return ApiContainer(**{"name": "api", "image": "hello:1", "command": command, **more})


def content(made: Api, place: str) -> dict[str, Any]:
    return {"place": place, "job": JOB, "containers": [worker_file._shown(each) for each in made.containers]}


def attempt(made: Api, place: str, directory: Path | None = None) -> AttemptSpec:
    worker = ProcessSpec(directory=directory, command=("python", "-m", "cortex_worker"), limits=Limits(memory=5))
    spec = AttemptSpec(name="a-1", processes=(worker,))
    return worker_file.with_worker(spec, content(made, place), made, "/files", "python:3")


def local(made: Api, directory: Path | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(attempt(made, "local", directory).files["worker.json"])
    return found


# In a place that has containers


def test_they_run_beside_the_worker_with_variables_and_limits_of_their_own() -> None:
    mine = {"MINE": "on $(CORTEX_PORT)"}
    compute = Compute(mem="64Mi", gpu=1, shm="1Mi")
    made = api(container("serve", args=("--port=$(CORTEX_PORT)", "$(MINE)"), env=mine, compute=compute), port=9000)
    spec = attempt(made, "docker")
    worker, program = spec.processes
    assert (worker.image, worker.limits) == ("python:3", Limits())
    assert program.command == ("serve", "--port=9000", "on 9000")
    assert program.image == "hello:1"
    assert program.limits == Limits(memory=64 << 20, gpu=1, shm=1 << 20, reserved_cpu=0.2)
    assert program.name == "api"
    assert program.environment == {
        "CORTEX_VERSION": "0.42.1",
        "CORTEX_LOG_LEVEL": "INFO",
        "CORTEX_CLI_CONFIG_DIR": "/cortex/client",
        "CORTEX_JOB_FILE": "/cortex/spec/job.json",
        "CORTEX_GATEWAY_URL": "http://operator.default.svc.cluster.local:8888",
        "CORTEX_PORT": "9000",
        "MINE": "on 9000",
    }


def test_the_job_and_the_clients_configuration_are_at_their_paths() -> None:
    spec = attempt(api(container("serve")), "docker")
    assert spec.shared == ("/mnt", "/cortex")
    found = {path: spec.files[name] for path, name in spec.placed.items()}
    assert json.loads(found["/cortex/spec/job.json"]) == JOB
    client = yaml.safe_load(found["/cortex/client/cli.yaml"])
    (environment,) = client["environments"]
    assert environment["name"] == client["default_environment"]
    assert environment["operator_endpoint"] == "http://operator.default.svc.cluster.local:8888"
    assert "ingressgateway-operator.istio-system.svc.cluster.local" in spec.hosts


def test_a_task_has_no_port() -> None:
    program = attempt(api(container("run"), kind=TASK), "docker").processes[1]
    assert "CORTEX_PORT" not in program.environment


# On this machine


def test_the_declared_port_gives_way_where_it_is_certainly_meant() -> None:
    serve = container("uvicorn", "--host", "0.0.0.0", "--port", "8080", env={"PORT": "8080", "DB_PORT": "8080"})
    other = container("sh", "-c", "curl http://localhost:8080/; nc 127.0.0.1 9000", name="other")
    found = local(api(serve, other))
    first, second = found["containers"]
    assert first["command"] == ["uvicorn", "--host", "127.0.0.1", "--port", "$(CORTEX_PORT)"]
    assert first["env"] == {"PORT": "$(CORTEX_PORT)", "DB_PORT": "8080"}
    assert second["command"][2] == "curl http://localhost:$(CORTEX_PORT)/; nc 127.0.0.1 9000"
    (remark,) = found["remarks"]
    assert "DB_PORT" in remark


def test_an_api_without_files_of_its_own_runs_among_those_of_the_attempt() -> None:
    assert attempt(api(container("true")), "local").processes[0].directory == Path("/files")


def test_a_task_keeps_its_numbers() -> None:
    found = local(api(container("run", "--port", "8080"), kind=TASK))
    assert found["containers"][0]["command"] == ["run", "--port", "8080"]


def test_paths_of_the_image_are_those_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nWORKDIR /app\nCOPY . /app\n")
    (tmp_path / "main.py").touch()
    found = local(api(container("python", "/app/main.py", args=("--keep",))), tmp_path)
    assert found["containers"][0]["command"] == ["python", str(tmp_path / "main.py"), "--keep"]


def test_probes_and_our_variables_are_in_the_file() -> None:
    probe = Probe("http_get", 8080, "/healthz")
    found = local(api(container("serve", readiness_probe=probe)))
    assert probes.read("api", found["containers"][0]["readiness_probe"], {}) == probes.Probe(
        "api", "http_get", 8080, "/healthz"
    )
    assert found["containers"][0]["liveness_probe"] is None
    assert found["variables"] == containers.COMMON

"""What is shown of Kubernetes is what an attempt gets there, but for its message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors.base import AttemptSpec, Inside
from fabric_jobs.executors.kubernetes import daemon_manifest, group_manifest, manifest, mesh, pool_manifest
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.making import program_of
from fabric_jobs.executors.kubernetes.pool_state import PoolProgram
from fabric_jobs.gateway.on_kubernetes import LEFT_OUT, Place, of_definition, of_task
from fabric_jobs.store import definitions
from tests.engine.bench import Bench
from tests.executors.fake import FakeExecutor
from tests.factories import PROJECT, save_skill, skill_document

AROUND = Around(
    owner="0a1b2c", queue="team", mesh=mesh.SCUTTLE, service_account="one", pull_secrets=("two",), user=1000
)
PLACE = Place(AROUND, "registry/worker:1")
EXTRA = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}}
WHOLE: dict[str, Any] = {
    "image": "registry/a:1",
    "command": ["python", "main.py"],
    "timeout": 90,
    "environmentVariables": {"MODE": "$(cat)"},
    "resources": {"cpu": "500m", "memory": "1Gi", "gpu": 1},
    "podSpec": [{"path": "/nodeSelector", "value": {"disk": "ssd"}}],
    "k8sResources": [json.dumps(EXTRA)],
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Yield a bench whose programs see what pods see."""
    inside = Inside(files=manifest.FILES_INSIDE, api_endpoint="http://10.0.0.1:8080/px")
    monkeypatch.setattr(FakeExecutor, "inside", lambda self, name: inside)
    bench = Bench(tmp_path, worker_image=PLACE.worker_image)
    yield bench
    bench.close()


def started(bench: Bench, document: dict[str, Any], **changes: Any) -> AttemptSpec:
    """Invoke a skill, and return what its executor was given."""
    (action,) = document["actions"]
    kept = {key: value for key, value in action.items() if value is not None}
    save_skill(bench.store, {**document, "actions": [kept]})
    bench.invoke("skill", "a", **changes)
    bench.until(lambda: bench.place.specs)
    (spec,) = bench.place.specs.values()
    return spec


def without_message(secret: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret without all that only its attempt knows."""
    secret = json.loads(json.dumps(secret))
    data = secret["stringData"]
    if (text := data.get(manifest.ORDER)) is not None:
        order = json.loads(text)
        order["words"][-1] = order["token"] = LEFT_OUT
        order["environment"] |= {"CORTEX_PAYLOAD": LEFT_OUT, "CORTEX_TOKEN": LEFT_OUT}
        data[manifest.ORDER] = json.dumps(order)
    else:
        data |= dict.fromkeys(("CORTEX_PAYLOAD", "CORTEX_TOKEN", "FABRIC_JOBS_ARGUMENT_0"), LEFT_OUT)
    if "data" in secret:
        secret["data"] = sorted(secret["data"])
    return secret


def shown(bench: Bench, spec: AttemptSpec) -> list[dict[str, Any]]:
    """Return what is shown of the task of an attempt."""
    (task,) = [task for task in bench.tasks() if task.attempt_name == spec.name]
    items: list[dict[str, Any]] = of_task(bench.store.read, task, PLACE)["items"]
    return items


@pytest.mark.parametrize(
    "changes",
    [
        WHOLE,
        {"image": "registry/a:1", "command": None},  # started by its image
        {**WHOLE, "message": "file"},
        {"image": "registry/a:1", "command": None, "message": "file"},
        {**WHOLE, "receives": "stream"},
    ],
)
def test_a_task_is_shown_as_its_attempt_gets_it(bench: Bench, changes: dict[str, Any]) -> None:
    spec = started(bench, skill_document("a", **changes))
    words = program_of(spec.processes[0])
    *extras, secret, job = shown(bench, spec)
    assert job == manifest.job(spec, words, AROUND)
    assert without_message(secret) == without_message(manifest.secret(spec, words, AROUND))
    assert extras == [EXTRA] * len(spec.processes[0].k8s_resources)
    assert spec.processes[0].environment["CORTEX_TOKEN"] not in json.dumps(shown(bench, spec))
    assert LEFT_OUT in json.dumps(secret)


def test_a_skill_is_shown_as_an_attempt_that_has_no_task_yet(bench: Bench) -> None:
    spec = started(bench, skill_document("a", **WHOLE))
    saved = definitions.find(bench.store.read, PROJECT, "skill", "a")
    assert saved is not None
    found = of_definition(bench.store.read, saved, PLACE)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    _, secret, job = found["items"]
    real = json.dumps(manifest.job(spec, program_of(spec.processes[0]), AROUND)["spec"]["template"]["spec"])
    name = manifest.job_name(AROUND.owner, spec.name)
    assert json.dumps(job["spec"]["template"]["spec"]) == real.replace(name, job["metadata"]["name"])
    assert job["metadata"]["name"] == secret["metadata"]["name"]
    kept = {"fabric-jobs/project": PROJECT, "fabric-jobs/skill": "a", "fabric-jobs/action": "a"}
    labels = job["metadata"]["labels"]
    assert {key: labels[key] for key in kept} == kept
    assert "fabric-jobs/task" not in labels


def test_a_daemon_is_shown_as_it_gets_it(bench: Bench) -> None:
    document = skill_document("a")
    daemon = {"name": "a", "type": "daemon", "image": "registry/a:1", "port": "8080", "scaleCount": 3}
    spec = started(bench, {**document, "actions": [daemon]})
    assert shown(bench, spec) == [
        daemon_manifest.secret(spec, AROUND),
        daemon_manifest.deployment(spec, AROUND),
        daemon_manifest.service(spec, AROUND),
    ]
    assert shown(bench, spec)[1]["spec"]["replicas"] == 3


def test_a_warm_action_is_shown_as_a_pod_of_its_pool(bench: Bench) -> None:
    spec = started(bench, skill_document("a", **WHOLE, warm=True))
    words = program_of(spec.processes[0])
    _, secret, job = shown(bench, spec)
    order = json.loads(secret["stringData"][manifest.ORDER])
    pool = {key: order[key] for key in ("pool", "token", "idle")}
    number = job["metadata"]["name"].rpartition("-")[2]
    program = PoolProgram(spec=spec, words=words, around=AROUND)
    assert [secret, job] == list(pool_manifest.objects(program, pool, number)[1:])
    assert pool["token"] == LEFT_OUT
    assert spec.processes[0].environment["CORTEX_TOKEN"] not in json.dumps([secret, job])


def test_a_warm_action_of_a_cold_activation_is_shown_as_its_own_job(bench: Bench) -> None:
    spec = started(bench, skill_document("a", **WHOLE, warm=True), cold=True)
    assert shown(bench, spec)[-1] == manifest.job(spec, program_of(spec.processes[0]), AROUND)


@pytest.mark.parametrize(
    "form",
    [
        {"handler": {"path": "handler.py"}},
        {"pod": {"port": 8080, "containers": [{"name": "one", "image": "registry/one:1", "command": ["serve"]}]}},
    ],
)
def test_the_worker_of_an_api_is_shown_as_it_gets_it(bench: Bench, form: dict[str, Any]) -> None:
    save_skill(bench.store, {"name": "score", "api": {"name": "score", "kind": "BatchAPI", **form}})
    bench.invoke("skill", "score", [1, 2], entry="items")
    bench.until(lambda: bench.place.specs)
    (spec,) = bench.place.specs.values()
    assert spec.hosts
    words = program_of(spec.processes[0])
    secret, job = shown(bench, spec)
    assert job == group_manifest.job(spec, words, AROUND)
    assert without_message(secret) == without_message(group_manifest.secret(spec, words, AROUND))


def test_the_image_of_a_skill_that_was_not_built_is_the_one_that_it_would_get(bench: Bench) -> None:
    document = skill_document("Cortex/Score")
    document["actions"][0].pop("image", None)
    save_skill(bench.store, document)
    saved = definitions.find(bench.store.read, PROJECT, "skill", "Cortex/Score")
    assert saved is not None
    job = of_definition(bench.store.read, saved, PLACE)["items"][-1]
    (program,) = job["spec"]["template"]["spec"]["containers"]
    assert program["image"] == program["image"].lower() != ""

"""API files: what is read, what is refused and where, and that the JSON Schema agrees."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fabric_jobs import shipped
from fabric_jobs.apis import BATCH, TASK, Api, ApiCode, ApiContainer, Compute, Probe
from fabric_jobs.documents import read, skill_from_json
from fabric_jobs.documents.api_entry import entry_of
from fabric_jobs.documents.apis import api_from_json, apis_of
from fabric_jobs.errors import InvalidDefinition
from tests.unit.test_documents_schema import ANYTHING, places, replaced

SCHEMA = Draft202012Validator(json.loads(shipped.schema_file("api").read_text("utf-8")))

CONTAINER: dict[str, Any] = {"name": "api", "image": "quay.io/x/sum:0.42", "command": ["python", "main.py"]}
BATCH_POD: dict[str, Any] = {"name": "sum", "kind": BATCH, "pod": {"containers": [CONTAINER]}}
TASK_POD: dict[str, Any] = {"name": "train", "kind": TASK, "pod": {"containers": [CONTAINER]}}
HANDLER: dict[str, Any] = {"name": "sum", "kind": BATCH, "handler": {"type": "python", "path": "handler.py"}}
DEFINITION: dict[str, Any] = {"name": "train", "kind": TASK, "definition": {"path": "task.py"}}
PROBE: dict[str, Any] = {"http_get": {"port": 8080, "path": "/healthz"}}


def pod(**keys: Any) -> dict[str, Any]:
    return {"pod": {"containers": [CONTAINER], **keys}}


def container(**keys: Any) -> dict[str, Any]:
    return {"pod": {"containers": [{**CONTAINER, **keys}]}}


def handler(**keys: Any) -> dict[str, Any]:
    return {"handler": {"path": "handler.py", **keys}}


Entry = dict[str, Any]
GOOD_PODS: tuple[Entry, ...] = (
    {"name": "a" * 42},
    {"name": "a"},
    {"name": "x2-y"},
    {"_note": 1},
    {"networking": {"endpoint": "my/api_1.0"}},
    {"networking": {"endpoint": "/my-api/"}},
    {"networking": {"endpoint": None}},
    {"node_groups": ["cpu-spot"]},
    pod(port=80),
    pod(port="9000"),
    pod(max_concurrency=8),
    pod(containers=[CONTAINER, {**CONTAINER, "name": "side-car"}]),
    container(args=["--port", "$(CORTEX_PORT)"], env={"A": "1", "b.c-d": "", "N": None}),
    container(args=None, env=None, readiness_probe=None),
    container(compute={"cpu": None, "mem": None, "gpu": 0, "inf": 0, "shm": None}),
    container(compute={"cpu": 0.5, "mem": "1.5Gi", "shm": "1Gi"}),
    container(compute={"cpu": "20m", "mem": 20 << 20, "gpu": 2}),
    container(readiness_probe=PROBE, liveness_probe={"exec": {"command": ["true"]}}),
    container(readiness_probe={"tcp_socket": {"port": 1}, "initial_delay_seconds": 0, "period_seconds": 0}),
    container(liveness_probe={**PROBE, "success_threshold": 2, "failure_threshold": 9, "timeout_seconds": 3}),
)
GOOD_CLASSES: tuple[Entry, ...] = (
    handler(),
    handler(path="./src/handler.pickle", python_path="src/", image="x/y:1", shm_size="64Mi"),
    handler(config={"a": {"b": [1, None]}}, env={"A": "1"}, log_level="debug"),
    handler(dependencies={"pip": "reqs/dev.txt", "conda": None, "shell": "x.sh"}),
    {"compute": {"cpu": 1, "mem": "2Gi", "gpu": 1, "node_groups": ["gpu"]}},
)
BAD_PODS: tuple[Entry, ...] = (
    {"name": None},
    {"name": 5},
    {"name": "Sum"},
    {"name": "1sum"},
    {"name": "sum-"},
    {"name": "a_b"},
    {"name": "b-sum"},
    {"name": "a" * 43},
    {"kind": None},
    {"kind": "RealtimeAPI"},
    {"kind": "batchapi"},
    {"nam": "x"},
    {"pod": []},
    {"pod": {}},
    {"predictor": {"path": "p.py"}},
    {"autoscaling": {"max_replicas": 1}},
    {"update_strategy": {"max_surge": 1}},
    {"compute": {"cpu": 1}},
    {"node_groups": "x"},
    {"node_groups": [1]},
    {"networking": "x"},
    {"networking": {"endpont": "/x"}},
    {"networking": {"endpoint": "/"}},
    {"networking": {"endpoint": ""}},
    {"networking": {"endpoint": "/a//b"}},
    {"networking": {"endpoint": "/a b"}},
    {"networking": {"endpoint": "/a/../b"}},
    {"networking": {"endpoint": "a" * 1001}},
    {"networking": {"endpoint": 5}},
    pod(port=0),
    pod(port=65_536),
    pod(port=8888),
    pod(port="15000"),
    pod(port="http"),
    pod(max_concurrency=0),
    pod(containers=[]),
    pod(containers=None),
    pod(containers=[5]),
    pod(containers=[{}]),
    pod(prt=80),
    container(name="dequeuer"),
    container(name="proxy"),
    container(name="a_b"),
    container(name="a" * 64),
    container(image=None),
    container(image=""),
    container(image="a b"),
    container(command=None),
    container(command=[]),
    container(command="python main.py"),
    container(command=[1]),
    container(args="x"),
    container(env={"CORTEX_X": "1"}),
    container(env={"KUBEXIT_NAME": "1"}),
    container(env={"1A": "x"}),
    container(env={"A": 1}),
    container(env={"A": True}),
    container(env={"A": []}),
    container(env='"A"="x"'),
    container(pre_stop={"exec": {"command": ["x"]}}),
    container(compute={"cpu": "two"}),
    container(compute={"cpu": 0.01}),
    container(compute={"cpu": True}),
    container(compute={"mem": "1 GB"}),
    container(compute={"mem": 1000}),
    container(compute={"gpu": -1}),
    container(compute={"gpu": 1.5}),
    container(compute={"memory": "1Gi"}),
    container(readiness_probe={}),
    container(readiness_probe={"period_seconds": 1}),
    container(readiness_probe={"exec": {"command": ["true"]}}),
    container(readiness_probe={**PROBE, "tcp_socket": {"port": 1}}),
    container(readiness_probe={**PROBE, "period_seconds": -1}),
    container(readiness_probe={**PROBE, "period_seconds": 1.5}),
    container(readiness_probe={**PROBE, "period": 1}),
    container(readiness_probe={"http_get": {"path": "/"}}),
    container(readiness_probe={"http_get": {"port": "http"}}),
    container(readiness_probe={"http_get": {"port": 80, "path": "/a b"}}),
    container(liveness_probe={"tcp_socket": {"port": 8888}}),
    container(liveness_probe={"tcp_socket": {}}),
    container(liveness_probe={"exec": {"command": []}}),
    container(liveness_probe={"exec": {}}),
)
BAD_CLASSES: tuple[Entry, ...] = (
    {"handler": {}},
    {"handler": "handler.py"},
    handler(type="tensorflow"),
    handler(type="onnx"),
    handler(type="pyton"),
    handler(models={"path": "s3://b/m"}),
    handler(tensorflow_serving_image="x"),
    handler(path="handler.txt"),
    handler(path="/abs/handler.py"),
    handler(path="../handler.py"),
    handler(path="a/../../handler.py"),
    handler(path="a\nb.py"),
    handler(python_path="."),
    handler(python_path="./"),
    handler(python_path="/src"),
    handler(python_path="src/.."),
    handler(config=[]),
    handler(config="x"),
    handler(env={"CORTEX_X": "1"}),
    handler(log_level="INFO"),
    handler(log_level=10),
    handler(shm_size="big"),
    handler(dependencies={"pip": "../requirements.txt"}),
    handler(dependencies={"npm": "package.json"}),
    handler(processes=2),
    {"compute": {"shm": "64Mi"}},
    {"compute": {"cpu": "x"}},
)
GOOD: list[Entry] = [
    *(BATCH_POD, TASK_POD, HANDLER, DEFINITION),
    *({**BATCH_POD, **changes} for changes in GOOD_PODS),
    *({**HANDLER, **changes} for changes in GOOD_CLASSES),
    {**DEFINITION, "definition": {"path": "a/task.py", "config": {}, "python_path": "a"}},
    {**TASK_POD, **container(liveness_probe=PROBE)},
]
BAD: list[Entry] = [
    {},
    {"name": "sum", "kind": BATCH},
    {"name": "sum", "kind": TASK, "handler": {"path": "handler.py"}},
    {"name": "sum", "kind": BATCH, "definition": {"path": "task.py"}},
    {**BATCH_POD, "handler": {"path": "handler.py"}},
    {**TASK_POD, **pod(port=8080)},
    {**TASK_POD, **pod(max_concurrency=1)},
    {**TASK_POD, **container(readiness_probe=PROBE)},
    {**HANDLER, "node_groups": ["x"]},
    *({**BATCH_POD, **changes} for changes in BAD_PODS),
    *({**HANDLER, **changes} for changes in BAD_CLASSES),
]


def is_read(entry: Any) -> bool:
    try:
        apis_of(read(json.dumps([entry]), "cortex.yaml"))
    except InvalidDefinition:
        return False
    return True


@pytest.mark.parametrize("entry", GOOD, ids=repr)
def test_both_accept(entry: dict[str, Any]) -> None:
    assert list(SCHEMA.iter_errors([entry])) == []
    assert is_read(copy.deepcopy(entry))


@pytest.mark.parametrize("entry", BAD, ids=repr)
def test_both_refuse(entry: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid([entry])
    assert not is_read(copy.deepcopy(entry))


@pytest.mark.parametrize("document", [None, [], {}, BATCH_POD, "x", 5, [None], [[]], ["x"]], ids=repr)
def test_a_file_without_apis_is_refused(document: Any) -> None:
    assert not SCHEMA.is_valid(document)
    with pytest.raises(InvalidDefinition):
        apis_of(read(json.dumps(document), "cortex.yaml"))


def problems(text: str) -> list[str]:
    """Return the problems of a file: its errors, or its warnings if it has no error."""
    try:
        return [str(problem) for problem in apis_of(read(text, "cortex.yaml"))[1]]
    except InvalidDefinition as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (container(compute={"cpu": "19m"}), "[0].pod.containers[0].compute.cpu: 19m is too little: the least is 20m"),
        (container(compute={"mem": "19Mi"}), "19Mi is too little: the least is 20Mi"),
        (container(compute={"mem": "1Gi", "shm": "2Gi"}), "'shm' is 2Gi, more than 'mem', 1Gi"),
        (pod(containers=[CONTAINER, CONTAINER]), "a second container is called 'api'"),
        (
            pod(
                containers=[
                    {**CONTAINER, "compute": {"gpu": 1}},
                    {**CONTAINER, "name": "b", "compute": {"inf": 1}},
                ]
            ),
            "either 'gpu' or 'inf', not both",
        ),
        (container(command=["a", "b\0c"]), "command[1]: no program can get the character U+0000"),
        (container(args=["\0"]), "args[0]: no program can get the character U+0000"),
        (container(env={"A": "\0"}), "env.A: no program can get the character U+0000"),
        ({"networking": {"endpoint": "/a\n"}}, "is not a valid endpoint"),
        ({"kind": "AsyncAPI"}, "kind: 'AsyncAPI' is not supported: fabric-jobs runs jobs"),
        ({"kind": "BatchApi"}, "'BatchApi' is not a known value. Did you mean 'BatchAPI'?"),
        (container(comand=["x"]), "unknown key 'comand'. Did you mean 'command'?"),
    ],
    ids=repr,
)
def test_an_error_says_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    assert message in "\n".join(problems(json.dumps([{**BATCH_POD, **changes}])))


def test_errors_have_their_places_and_all_are_told_at_once() -> None:
    text = """\
- name: Sum
  kind: BatchAPI
  pod:
    prot: 8080
    containers:
      - name: api
        image: x
- name: train
  kind: TaskAPI
  pod:
    port: 80
    containers:
      - name: api
        image: x
        command: [python, main.py]
        readiness_probe: {tcp_socket: {port: 80}}
- name: train
  kind: TaskAPI
  handler: {type: tensorflow, path: a.py}
"""
    found = [problem.split(": error: ")[0] + " " + problem.split(": error: ")[1] for problem in problems(text)]
    starts = [problem.split(". ")[0][:70] for problem in found]
    assert [start.split(" ")[0] for start in starts] == [
        "cortex.yaml:1:9",
        "cortex.yaml:4:5",
        "cortex.yaml:6:9",
        "cortex.yaml:11:5",
        "cortex.yaml:16:9",
        "cortex.yaml:17:9",
        "cortex.yaml:19:3",
        "cortex.yaml:19:19",
    ]


def test_two_apis_have_two_endpoints() -> None:
    second = {**TASK_POD, "networking": {"endpoint": "sum/"}}
    (found,) = problems(json.dumps([BATCH_POD, second]))
    assert "[1].networking.endpoint: the endpoint '/sum' is also that of 'sum'" in found


def test_keys_without_effect_are_warnings() -> None:
    entry = {**BATCH_POD, **container(compute={"inf": 1}), "node_groups": ["x"]}
    both = problems(json.dumps([entry, {**DEFINITION, "compute": {"node_groups": ["y"]}}]))
    assert [": warning: " in problem for problem in both] == [True] * 3
    assert ["'inf'" in problem for problem in both] == [True, False, False]


def test_what_is_absent_has_the_defaults_of_cortex() -> None:
    (batch, task, code), warnings = apis_of(read(json.dumps([BATCH_POD, TASK_POD, {**HANDLER, "name": "x"}]), ""))
    expected = ApiContainer(name="api", image="quay.io/x/sum:0.42", command=("python", "main.py"))
    assert batch == Api(name="sum", kind=BATCH, endpoint="/sum", containers=(expected,))
    assert (batch.port, batch.max_concurrency, expected.compute) == (8080, 1, Compute(cpu="200m"))
    assert task == Api(name="train", kind=TASK, endpoint="/train", containers=(expected,))
    assert code == Api(name="x", kind=BATCH, endpoint="/x", code=ApiCode(path="handler.py"))
    assert warnings == ()


def test_values_are_read_as_kubernetes_reads_them() -> None:
    probe = {"http_get": {"port": "80", "path": "healthz"}, "timeout_seconds": 0, "failure_threshold": 0}
    compute = {"cpu": None, "mem": "64000K"}
    api = api_from_json({**BATCH_POD, **container(readiness_probe=probe, compute=compute)})
    assert api.containers[0].readiness_probe == Probe(kind="http_get", port=80, path="/healthz")
    assert api.containers[0].compute == Compute(cpu="", mem="64000k")


def test_paths_of_a_project_are_in_their_shortest_form() -> None:
    code = api_from_json({**HANDLER, **handler(path="./src//handler.py", python_path="src/")}).code
    assert code is not None
    assert (code.path, code.python_path) == ("src/handler.py", "src")


def test_a_saved_api_is_read_as_the_skill_that_runs_it() -> None:
    skill = skill_from_json({"name": "sum", "api": HANDLER, "createdBy": "x"})
    assert skill.name == "sum"
    assert skill.actions[0].api == api_from_json(HANDLER)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "other", "api": HANDLER}, "the name differs from that of the API, 'sum'"),
        ({"name": "sum", "api": []}, "api: this is a list, but must be a mapping"),
        ({"name": "sum", "api": HANDLER, "actions": []}, "unknown key 'actions'"),
        ({"name": "sum", "api": {**HANDLER, "kind": "x"}}, "api.kind: 'x' is not a known value"),
    ],
)
def test_a_saved_api_is_checked(body: Any, message: str) -> None:
    with pytest.raises(InvalidDefinition, match=message.replace("[", "\\[")):
        skill_from_json(body)


def test_other_skills_are_read_without_the_modules_of_apis() -> None:
    program = (
        "import sys; from fabric_jobs.documents import skill_from_json; skill_from_json({'name': 'a'}); "
        "print([name for name in sys.modules if name.startswith('fabric_jobs.documents.api')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


# -- the pages of Cortex Labs ------------------------------------------------------------------------

PAGE_OF_CONTAINERS = """\
- name: image-classifier
  kind: BatchAPI
  pod:
    port: 8080
    containers:
      - name: api
        image: quay.io/cortexlabs-test/batch-image-classifier:0.42
        command: ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "$(CORTEX_PORT)"]
        readiness_probe:
          http_get:
            port: 8080
            path: /healthz
        compute:
          cpu: 200m
          mem: 512Mi
  networking:
    endpoint: image-classifier
"""
PAGE_OF_CLASSES = """\
- name: my-classifier
  kind: BatchAPI
  handler:
    type: python
    path: handler.py
    config:
      model: s3://bucket/model
    python_path: src/
    dependencies:
      pip: requirements.txt
    log_level: info
  compute:
    cpu: 1
    mem: 1G
- name: trainer
  kind: TaskAPI
  definition:
    path: task.py
"""


@pytest.mark.parametrize("text", [PAGE_OF_CONTAINERS, PAGE_OF_CLASSES])
def test_files_of_the_pages_are_read_without_a_remark(text: str) -> None:
    document = read(text, "cortex.yaml")
    assert list(SCHEMA.iter_errors(document.plain())) == []
    assert apis_of(document)[1] == ()


# -- laws --------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[ac-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in ("proxy", "dequeuer")
)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
VARIABLES = st.dictionaries(st.from_regex(r"[A-BD-Z_][A-Z0-9_]{0,5}", fullmatch=True), WORDS, max_size=2)
PORTS = st.integers(1, 8000)
MEMORY = st.sampled_from(["", "20Mi", "1.5Gi", "64000k", "3G", "41943040"])
COMPUTES = st.builds(
    Compute,
    cpu=st.sampled_from(["", "20m", "2", "0.5"]),
    mem=MEMORY,
    gpu=st.integers(0, 8),
    inf=st.just(0),
    shm=st.sampled_from(["", "1Mi"]),
)
COUNTS = {
    "initial_delay_seconds": st.integers(0, 99),
    **{
        key: st.integers(1, 99)
        for key in ("timeout_seconds", "period_seconds", "success_threshold", "failure_threshold")
    },
}
NO_WORDS = st.just(())
TCP = st.builds(Probe, kind=st.just("tcp_socket"), port=PORTS, path=st.just("/"), command=NO_WORDS, **COUNTS)
HTTP = st.builds(
    Probe,
    kind=st.just("http_get"),
    port=PORTS,
    path=st.sampled_from(["/", "/a%20b", "/x?y=1"]),
    command=NO_WORDS,
    **COUNTS,
)
EXEC = st.builds(
    Probe,
    kind=st.just("exec"),
    port=st.just(0),
    path=st.just("/"),
    command=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    **COUNTS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(["a.py", "src/b.py", "x/y/z.py"])


@st.composite
def apis(draw: st.DrawFn) -> Api:
    kind = draw(st.sampled_from([BATCH, TASK]))
    is_batch = kind == BATCH
    containers: tuple[ApiContainer, ...] = ()
    code = None
    if draw(st.booleans()):
        names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
        containers = tuple(
            ApiContainer(
                name=name,
                image=draw(st.sampled_from(["x", "quay.io/a/b:1"])),
                command=tuple(draw(st.lists(WORDS, min_size=1, max_size=3))),
                args=tuple(draw(st.lists(WORDS, max_size=3))),
                env=draw(VARIABLES),
                compute=draw(COMPUTES),
                readiness_probe=draw(st.none() | TCP | HTTP) if is_batch else None,
                liveness_probe=draw(st.none() | TCP | HTTP | EXEC),
            )
            for name in names
        )
    else:
        code = draw(
            st.builds(
                ApiCode,
                path=PATHS,
                config=st.dictionaries(WORDS, JSON, max_size=3),
                python_path=st.sampled_from(["", "src", "a/b"]),
                image=st.sampled_from(["", "x:1"]),
                env=VARIABLES,
                log_level=st.sampled_from(["debug", "info", "warning", "error"]),
                shm_size=st.sampled_from(["", "64Mi"]),
                pip=st.sampled_from(["requirements.txt", "a/r.txt"]),
                conda=st.just("conda-packages.txt"),
                shell=st.just("x.sh"),
                warm=st.sampled_from([None, (), ("numpy",), ("a.b", "c")]),
            )
        )
    has_port = is_batch and code is None
    return Api(
        name=draw(NAMES),
        kind=kind,
        endpoint=draw(st.sampled_from(["/a", "/a/b", "/x.y_z-1"])),
        containers=containers,
        code=code,
        port=draw(PORTS) if has_port else 8080,
        max_concurrency=draw(st.integers(1, 9)) if has_port else 1,
        compute=draw(COMPUTES)._replace(shm="") if code is not None else Compute(),
        node_groups=tuple(draw(st.lists(st.sampled_from(["cpu", "gpu"]), max_size=2))),
    )


@given(apis())
def test_an_api_is_what_its_entry_says(api: Api) -> None:
    assert api_from_json(json.loads(json.dumps(entry_of(api)))) == api


@given(apis())
def test_reading_an_entry_of_yaml_is_reading_its_json(api: Api) -> None:
    entry = entry_of(api)
    assert apis_of(read(json.dumps([entry]), "cortex.yaml"))[0] == (api_from_json(entry),)


SPOILT = [(entry, steps) for entry in GOOD for steps in places(entry)]


@given(st.sampled_from(SPOILT), ANYTHING)
def test_a_spoilt_entry_raises_nothing_but_invalid_definition(spoilt: tuple[Any, Any], value: Any) -> None:
    entry, steps = spoilt
    is_read(replaced(entry, steps, value))
    try:
        api_from_json(replaced(entry, steps, value))
    except InvalidDefinition:
        return

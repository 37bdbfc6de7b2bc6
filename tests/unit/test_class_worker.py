"""The worker of a class, as a real process against a small real gateway."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.small_gateway import SmallGateway, ends, says

JOB = {"job_id": "7ffffffffffffff0", "api_name": "sum", "kind": "BatchAPI", "workers": 1, "config": {"own": 1}}
HEAD = "import json, os, sys, time\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SmallGateway]:
    made = SmallGateway(tmp_path)
    yield made
    made.close()


class Project:
    """The files of an API."""

    def __init__(self, gateway: SmallGateway, code: str, **files: str) -> None:
        self.gateway = gateway
        self.root = gateway.directory / "project"
        self.place = gateway.directory / "files"
        self.root.mkdir()
        self.place.mkdir()
        (self.root / "code.py").write_text(HEAD + textwrap.dedent(code))
        for name, text in files.items():
            path = self.root / name.replace("__", ".")
            path.write_text(text)

    def start(self, kind: str = "BatchAPI", **wanted: Any) -> Popen[str]:
        """Start a worker."""
        code = {"path": "code.py", "python_path": "", "env": {}, "log_level": "info", **wanted.pop("code", {})}
        content = {
            "form": "class",
            "kind": kind,
            "api": {"name": "sum", "kind": kind},
            "job": {**JOB, "kind": kind},
            "config": {},
            "code": code,
            "containers": [],
            "batch_timeout": None,
            "place": "local",
            **wanted,
        }
        (self.place / "worker.json").write_text(json.dumps(content))
        env = {"FABRIC_JOBS_WORKER_FILE": str(self.place / "worker.json")}
        return self.gateway.begin(["-m", "cortex_worker"], cwd=self.root, env=env)


def handler(body: str) -> str:
    return "class Handler:\n" + textwrap.indent(textwrap.dedent(body), "    ")


# Handler


def test_a_handler_gets_each_batch_and_its_results_are_stored(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items = [[1, 2], [3, 4], [5]]
    code = """
        def __init__(self, config, job_spec):
            self.factor, self.seen = config["factor"], []
            assert job_spec["config"] == {"own": 1}
        def handle_batch(self, payload, batch_id):
            self.seen.append(batch_id)
            return [item * self.factor for item in payload]
        def on_job_complete(self):
            print(*self.seen)
    """
    out, _ = ends(Project(gateway, handler(code)).start(config={"factor": 10}))
    assert batches.done == {0: [10, 20], 100: [30, 40], 200: [50]}
    assert batches.completed == [{"status": 200, "error": ""}]
    assert out == "batch-0 batch-100 batch-200\n"
    assert gateway.state.paths == {"/px/internal/attempts/7-2/batches"}
    assert gateway.state.tokens == {"Bearer a.b.c"}


def test_a_failed_batch_is_reported_and_the_worker_goes_on(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items, batches.receive_count = [[0], [1]], 2
    code = "def __init__(self, config): pass\ndef handle_batch(self, payload): return 1 // payload[0]"
    out, _ = ends(Project(gateway, handler(code)).start())
    assert batches.failed == [(0, "ZeroDivisionError: integer division or modulo by zero")] * 2
    assert (batches.dead, batches.done) == ({0}, {100: [1]})
    line = json.loads(out.splitlines()[0])
    assert line["message"] == "failed to handle batch batch-0"
    assert "handle_batch(self, payload)" in line["exc_info"]
    assert "class_worker.py" not in line["exc_info"]


def test_only_what_is_json_is_a_result(gateway: SmallGateway) -> None:
    gateway.state.batches.items = [[None], [{"a": 1}], ["text"], ["set"], ["again"]]
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            return {1} if payload[0] in ("set", "again") else payload[0]
    """
    out, _ = ends(Project(gateway, handler(code)).start())
    assert list(gateway.state.batches.done.values()) == [[], [{"a": 1}], ["text"], [], []]
    (line,) = out.splitlines()
    assert "are dropped: an object of type set is not JSON" in json.loads(line)["message"]


def test_quick_batches_come_together_and_slow_ones_one_by_one(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items = [[place] for place in range(100)]
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            if payload[0] == 60:
                print("slow", flush=True)
                sys.stdin.readline()
    """
    program = Project(gateway, handler(code)).start()
    says(program, "slow")
    gateway.state.until(lambda: len(batches.done) == 60)  # those before the slow one are reported meanwhile
    assert max(len(call["done"]) for call in batches.calls) > 1
    assert max(call["want"] for call in batches.calls) in range(2, 17)
    ends(program_goes_on(program))
    assert sorted(batches.done) == [100 * place for place in range(100)]


def program_goes_on(program: Popen[str]) -> Popen[str]:
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()
    return program


def test_a_batch_that_takes_too_long_fails_though_it_catches_exceptions(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items = [["slow"], ["quick"]]
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            while payload == ["slow"]:
                try:
                    time.sleep(60)
                except Exception:
                    pass
    """
    ends(Project(gateway, handler(code)).start(batch_timeout=0.2))
    assert batches.failed == [(0, "it took longer than 0.2 seconds")]
    assert batches.done == {100: []}


def test_a_failing_on_job_complete_is_reported(gateway: SmallGateway) -> None:
    code = """
        def __init__(self, config): pass
        def handle_batch(self): pass
        def on_job_complete(self): raise OSError("no space")
    """
    ends(Project(gateway, handler(code)).start())
    assert gateway.state.batches.completed == [{"status": 500, "error": "OSError: no space"}]


def test_without_on_job_complete_the_job_is_complete(gateway: SmallGateway) -> None:
    gateway.state.batches.items = [[1]]
    ends(Project(gateway, handler("def __init__(self, config): pass\ndef handle_batch(self): pass")).start())
    assert gateway.state.batches.completed == [{"status": 200, "error": ""}]


def test_a_worker_is_heard_of_while_a_batch_takes_longer_than_its_lease(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items, batches.lease = [[0]], 0.3
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            sys.stdin.readline()
    """
    program = Project(gateway, handler(code)).start()
    gateway.state.until(lambda: [call["held"] for call in batches.calls].count([[5, 0]]) > 2)
    assert all(call["want"] == 0 for call in batches.calls[1:])
    ends(program_goes_on(program))
    assert batches.done == {0: []}


# The gateway goes away


NOTING = """
    def __init__(self, config):
        self.seen = config["seen"]
    def handle_batch(self, payload):
        with open(self.seen, "a") as file:
            file.write(f"{payload[0]} ")
        return payload
"""


@pytest.mark.parametrize("lose", ["before", "after"])
def test_a_lost_connection_loses_and_repeats_nothing(gateway: SmallGateway, lose: str) -> None:
    batches = gateway.state.batches
    batches.items = [[place] for place in range(5)]
    gateway.state.lose = lose
    seen = gateway.directory / "seen"
    program = Project(gateway, handler(NOTING)).start(config={"seen": str(seen)})
    gateway.state.until(lambda: batches.done)
    gateway.state.set(lose=lose)
    ends(program)
    assert seen.read_text() == "0 1 2 3 4 "
    assert list(batches.done.values()) == [[place] for place in range(5)]


def test_a_gateway_that_restarts_gets_the_report(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items = [[0]]
    gateway.state.statuses = [503]
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            print("begun", flush=True)
            sys.stdin.readline()
            return payload
    """
    program = Project(gateway, handler(code)).start()
    says(program, "begun")
    gateway.stop()
    program_goes_on(program)
    gateway.start()
    ends(program)
    assert batches.done == {0: [0]}


def test_a_worker_whose_attempt_is_over_ends_with_75(gateway: SmallGateway) -> None:
    gateway.state.statuses = [409]
    _, err = ends(Project(gateway, handler(NOTING)).start(config={"seen": ""}), 75)
    assert "refused with 409" in err


# Task


def test_a_task_is_called_once_with_its_configuration(gateway: SmallGateway) -> None:
    code = """
        class Task:
            def __call__(self, config):
                with open("values.json") as file:
                    print(json.load(file), config)
    """
    program = Project(gateway, code, values__json="[1]").start("TaskAPI", config={"a": {"b": 1}})
    assert ends(program) == ("[1] {'a': {'b': 1}}\n", "")
    assert gateway.state.batches.calls == []


def test_a_task_that_raises_fails_with_its_reason_in_the_log(gateway: SmallGateway) -> None:
    code = "class Task:\n    def __call__(self, config):\n        raise KeyError('x')"
    out, err = ends(Project(gateway, code).start("TaskAPI"), 1)
    line = json.loads(out)
    assert (line["levelname"], line["message"]) == ("ERROR", "failed to run task 7ffffffffffffff0")
    assert line["exc_info"].endswith("KeyError: 'x'")
    assert err == "cortex_worker: failed to run task 7ffffffffffffff0: KeyError: 'x'\n"


def test_a_task_may_exit(gateway: SmallGateway) -> None:
    code = "class Task:\n    def __call__(self, config): sys.exit(config['code'])"
    project = Project(gateway, code)
    ends(project.start("TaskAPI", config={"code": 0}), 0)
    ends(project.start("TaskAPI", config={"code": 3}), 3)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class Task: pass", "the class 'Task' needs a method __call__(self, config)."),
        (
            "import no_such_package",
            "the class cannot be loaded: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("def f(:", "the class cannot be loaded: SyntaxError: "),
    ],
)
def test_a_class_that_cannot_be_loaded_ends_the_worker_with_the_reason(
    gateway: SmallGateway, code: str, said: str
) -> None:
    _, err = ends(Project(gateway, code).start("TaskAPI"), 1)
    assert err.startswith(f"cortex_worker: {said}")
    assert "Traceback" not in err


# Surroundings


def test_the_code_finds_what_cortex_labs_gave_it(gateway: SmallGateway) -> None:
    code = """
        import helper
        from cortex_internal.lib.log import logger
        class Task:
            def __init__(self, metrics_client):
                metrics_client.increment("seen", tags={"a": "b"})
            def __call__(self, config):
                logger.debug("hello", extra={"message": os.environ["SECRET"]})
                with open(os.environ["CORTEX_TASK_SPEC"]) as file:
                    assert json.load(file)["job_id"] == "7ffffffffffffff0"
                with open(os.environ["CORTEX_CLI_CONFIG_DIR"] + "/cli.yaml") as file:
                    (client,) = json.load(file)["environments"]
                assert client["operator_endpoint"] == os.environ["CORTEX_GATEWAY_URL"]
                assert os.access(os.environ["CORTEX_CLI_PATH"], os.X_OK)
                assert os.getcwd() == os.environ["CORTEX_PROJECT_DIR"] == os.path.dirname(os.path.abspath(__file__))
                assert os.environ["CORTEX_KIND"] == "TaskAPI"
                with open(os.environ["CORTEX_API_SPEC"]) as file:
                    assert json.load(file) == {"name": "sum", "kind": "TaskAPI"}
                assert os.environ["FABRIC_JOBS_ATTEMPT"] == "7-2"
                print(helper.NAME, os.system("test -d $CORTEX_PYTHON_PATH"), sys.modules["cortex_task"].__name__)
    """
    env = "SECRET='from .env'\nFABRIC_JOBS_ATTEMPT=0\n"
    project = Project(gateway, code, __env=env)
    (project.root / "lib").mkdir()
    (project.root / "lib" / "helper.py").write_text("NAME = 'helper'")
    out, _ = ends(project.start("TaskAPI", code={"python_path": "lib", "log_level": "debug"}))
    first, second = out.splitlines()
    assert (json.loads(first)["message"], json.loads(first)["message_"]) == ("hello", "from .env")
    assert second == "helper 0 cortex_task"


def test_metrics_are_added_up_and_all_sent_before_the_worker_ends(gateway: SmallGateway) -> None:
    code = """
        class Task:
            def __init__(self, metrics_client):
                self.client = metrics_client
            def __call__(self, config):
                for number in range(1000):
                    self.client.increment("seen", tags={"kind": "even" if number % 2 == 0 else "odd"})
                    self.client.gauge("last", number)
                    self.client.histogram("sizes", 0.5)
                self.client.gauge("last", float("nan"))
                for name in ("cortex_mine", "istio_mine"):
                    try:
                        self.client.increment(name)
                    except ValueError as error:
                        print(error)
    """
    out, err = ends(Project(gateway, code).start("TaskAPI"))
    assert (len(out.splitlines()), err) == (2, "")
    totals: dict[tuple[str, str, str], float] = {}
    for sent in gateway.state.metrics:
        key = (sent["kind"], sent["name"], sent["tags"].get("kind", ""))
        totals[key] = sent["value"] + (0 if sent["kind"] == "gauge" else totals.get(key, 0))
    assert totals == {
        ("counter", "seen", "even"): 500,
        ("counter", "seen", "odd"): 500,
        ("gauge", "last", ""): 999,
        ("summary", "sizes", ""): 500,
    }
    assert sum(sent["count"] for sent in gateway.state.metrics if sent["name"] == "sizes") == 1000


def test_metrics_are_lost_without_a_word_while_the_gateway_is_away(gateway: SmallGateway) -> None:
    code = """
        class Task:
            def __init__(self, metrics_client):
                self.client = metrics_client
            def __call__(self, config):
                print("begun", flush=True)
                sys.stdin.readline()
                self.client.increment("seen")
    """
    program = Project(gateway, code).start("TaskAPI")
    says(program, "begun")
    gateway.stop()
    try:
        assert ends(program_goes_on(program)) == ("", "")
    finally:
        gateway.start()


def test_what_the_code_writes_stays_out_of_the_project_and_goes_with_the_worker(gateway: SmallGateway) -> None:
    code = """
        class Task:
            def __call__(self, config):
                with open("values.json", "w") as file:
                    file.write("new")
                os.mkdir("made")
                print(os.getcwd(), flush=True)
    """
    project = Project(gateway, code, values__json="old")
    out, _ = ends(project.start("TaskAPI"))
    assert (project.root / "values.json").read_text() == "old"
    assert sorted(path.name for path in project.root.iterdir()) == ["code.py", "values.json"]
    assert not os.path.exists(out.strip())
    assert [path.name for path in project.place.iterdir()] == ["worker.json"]


def test_code_may_fork(gateway: SmallGateway) -> None:
    gateway.state.batches.items = [[-1, -2], [-3]]
    code = """
        import multiprocessing
        class Handler:
            def __init__(self, config): pass
            def handle_batch(self, payload):
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    found = pool.map(abs, payload)
                pid = os.fork()
                if not pid:
                    sys.exit(0)
                os.waitpid(pid, 0)
                assert os.path.exists("values.json")
                return found
    """
    ends(Project(gateway, code, values__json="1").start())
    assert list(gateway.state.batches.done.values()) == [[1, 2], [3]]


def test_an_env_file_that_is_not_valid_ends_the_worker(gateway: SmallGateway) -> None:
    code = "class Task:\n    def __call__(self, config): pass"
    _, err = ends(Project(gateway, code, __env="A=$(\n").start("TaskAPI"), 1)
    assert err.startswith("cortex_worker: .env is not valid: ")


def test_a_class_may_be_in_a_pickle(gateway: SmallGateway) -> None:
    import dill  # type: ignore[import-untyped]

    space: dict[str, Any] = {"__name__": "__main__"}
    exec("class Task:\n    def __call__(self, config): print('from a pickle')", space)
    project = Project(gateway, "")
    (project.root / "task.pickle").write_bytes(dill.dumps(space["Task"], recurse=True))
    assert ends(project.start("TaskAPI", code={"path": "task.pickle"}))[0] == "from a pickle\n"

"""Which classes `Task` and `Handler` can be run, and what is said about the others."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from fabric_jobs.runtime.cortex_worker.user_class import Unusable, has, load, parameters

BATCH = "def handle_batch(self): pass"


def loaded(directory: Path, code: str, name: str) -> type:
    (directory / "code.py").write_text(textwrap.dedent(code))
    return load(str(directory / "code.py"), name)


def handler(*methods: str) -> str:
    return "class Handler:\n" + "".join(f"    {method}\n" for method in methods)


@pytest.mark.parametrize(
    ("declared", "arguments"),
    [
        ("self", []),
        ("self, payload", ["payload"]),
        ("self, batch_id, payload", ["batch_id", "payload"]),
        ("self, payload=None", ["payload"]),
    ],
)
def test_a_batch_is_passed_by_the_names_that_are_declared(tmp_path: Path, declared: str, arguments: list[str]) -> None:
    code = handler("def __init__(self, config): pass", f"def handle_batch({declared}): pass")
    assert parameters(loaded(tmp_path, code, "Handler"), "handle_batch") == arguments


def test_a_constructor_takes_what_it_declares(tmp_path: Path) -> None:
    code = handler("def __init__(self, metrics_client, config, job_spec): pass", BATCH)
    found = loaded(tmp_path, code, "Handler")
    assert parameters(found, "__init__") == ["metrics_client", "config", "job_spec"]
    assert (has(found, "handle_batch"), has(found, "on_job_complete")) == (True, False)


def test_a_task_needs_no_constructor(tmp_path: Path) -> None:
    found = loaded(tmp_path, "class Task:\n    def __call__(self, config): pass", "Task")
    assert parameters(found, "__init__") == []


def test_inherited_methods_count(tmp_path: Path) -> None:
    code = "class Base:\n    def __call__(self, config): pass\nclass Task(Base):\n    pass"
    assert parameters(loaded(tmp_path, code, "Task"), "__call__") == ["config"]


INIT = "def __init__(self, config): pass"


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        ("class Worker: pass", "Task", "has no class 'Task'; the class must have exactly this name"),
        ("def Task(config): pass", "Task", "has no class 'Task'"),
        ("class Task: pass", "Task", r"needs a method __call__\(self, config\)"),
        ("class Task:\n    def __call__(self): pass", "Task", "'__call__' .* has no parameter 'config'"),
        ("class Task:\n    def __call__(self, config, job): pass", "Task", "'__call__' .* has the parameter 'job'"),
        ("class Task:\n    def __call__(this, config): pass", "Task", "does not have 'self' as its first parameter"),
        ("class Task:\n    def __init__(self, config): pass\n    def __call__(self, config): pass", "Task", "'config'"),
        (handler(BATCH), "Handler", r"needs a method __init__\(self, config\[, job_spec\]\[, metrics_client\]\)"),
        (handler(INIT), "Handler", r"needs a method handle_batch\(self\[, payload\]\[, batch_id\]\)"),
        (handler("def __init__(self): pass", BATCH), "Handler", "'__init__' .* has no parameter 'config'"),
        (handler(INIT, "def handle_batch(self, paylod): pass"), "Handler", "has the parameter 'paylod'"),
        (handler(INIT, "handle_batch = 1"), "Handler", "'handle_batch' .* is not a method"),
        (handler(INIT, BATCH, "def on_job_complete(self, counts): pass"), "Handler", "has the parameter 'counts'"),
        (
            handler("def __init__(self, tensorflow_client, config): pass", BATCH),
            "Handler",
            "TensorFlow handlers are not supported: .* Use a Python handler",
        ),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_name(tmp_path: Path, code: str, name: str, said: str) -> None:
    with pytest.raises(Unusable, match=said):
        loaded(tmp_path, code, name)


def test_a_file_that_is_missing_or_not_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"there is no file '.*/handler.py' in the project"):
        load(str(tmp_path / "handler.py"), "Handler")
    (tmp_path / "handler.txt").touch()
    with pytest.raises(Unusable, match=r"must end in .py or .pickle"):
        load(str(tmp_path / "handler.txt"), "Handler")


def test_what_the_code_raises_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        loaded(tmp_path, "1 / 0", "Task")

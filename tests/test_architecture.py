"""The floors, the sizes and the places of foreign libraries (docs/explanation/architecture.md)."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "fabric_jobs"

FLOORS: dict[str, int] = {
    "errors": 0,
    "states": 0,
    "clock": 0,
    "runtime": 0,
    "whole_file": 0,
    "apis": 1,
    "api_actions": 1,
    "submissions": 1,
    "jobs": 1,
    "sources": 3,
    "definitions": 1,
    "json_text": 1,
    "names": 1,
    "conditions": 1,
    "counts": 1,
    "durations": 1,
    "sizes": 1,
    "schedules": 1,
    "callback_targets": 1,
    "queue_arns": 1,
    "records": 1,
    "masks": 1,
    "shipped": 2,
    "blobs": 2,
    "sqs": 2,
    "sealing": 2,
    "state_dir": 1,
    "config_files": 2,
    "personal_tokens": 2,
    "user_files": 2,
    "shell": 2,
    "documents": 2,
    "routing": 2,
    "manifests": 2,
    "settings": 2,
    "docker": 2,
    "kubernetes": 2,
    "deployed": 2,
    "store": 3,
    "executors": 3,
    "scaffold": 3,
    "images": 3,
    "client": 3,
    "engine": 4,
    "upkeep": 4,
    "doctor": 4,
    "deployment": 4,
    "workspace": 4,
    "gateway": 5,
    "owner": 6,
    "background": 6,
    "cli": 6,
    "__main__": 6,
    "__init__": 0,
}
NEIGHBOURS = {
    ("cli", "owner"),
    ("background", "owner"),
    ("__main__", "cli"),
    ("documents", "documents"),
    ("conditions", "names"),
    ("definitions", "apis"),
    ("api_actions", "definitions"),
    ("api_actions", "conditions"),
    ("schedules", "names"),
    ("schedules", "durations"),
    ("config_files", "user_files"),
}

FILE_LINES, FUNCTION_LINES, PARAMETERS, CLASS_LINES = 400, 50, 6, 200

# Only one file or folder may import each of these; their exceptions stop there.
FOREIGN: dict[str, str | tuple[str, ...]] = {
    "sqlite3": "store/",
    "uvicorn": ("gateway/server.py", "gateway/protocol.py"),
    "starlette": "gateway/",
    "orjson": "gateway/",
    "cookiecutter": "scaffold/",
    "docker": "docker/",
    "kubernetes": ("kubernetes/session.py", "kubernetes/login.py"),
    "aiohttp": ("kubernetes/cluster.py", "kubernetes/session.py"),
    "obstore": ("blobs/bucket.py", "sources/objects.py"),
    "botocore": "sqs.py",
    "pathspec": "client/project_files.py",
    "python_multipart": "gateway/form.py",
    "requests": "docker/",
    "urllib3": "docker/",
    "click": "cli/",
    "cryptography": ("sealing.py", "personal_tokens.py"),
    "cronsim": "schedules/cron.py",
    "yaml": ("documents/", "cli/terminal/printing.py"),
}
DOCUMENTATION = "fabric_jobs.gateway.schemas"
LATE = (
    "yaml",
    "cryptography",
    "cookiecutter",
    "docker",
    "kubernetes",
    "obstore",
    "botocore",
    "pathspec",
    "python_multipart",
    "cronsim",
    "zoneinfo",
    "uvicorn",
    DOCUMENTATION,
    "fabric_jobs.gateway.openapi",
)
MAY_IMPORT_EARLY = {
    "gateway/openapi.py": {DOCUMENTATION},
    "gateway/server.py": {"uvicorn"},
    "gateway/protocol.py": {"uvicorn"},
    "documents/composer.py": {"yaml"},
    "documents/yaml_text.py": {"yaml"},
}
PROGRAMS = ("runtime/", "executors/local/shim/", "executors/warm/")  # of their own, with words of their own
SHARED_WORDS = {"Node", "Parameter"}  # of a document and of a plan; of a skill and of a request
BANNED = re.compile(r"(Manager|Helper|Util|Utils|Service|Context|Data|Info)$")
BROAD_EXCEPTS = {
    "docker/engine.py": 1,
    "engine/calls/__init__.py": 1,
    "engine/calls/caller.py": 1,
    "engine/engine.py": 1,
    "engine/item_readers.py": 1,
    "engine/lanes.py": 3,
    "engine/schedules.py": 1,
    "executors/docker/life.py": 1,
    "executors/kubernetes/carried.py": 1,
    "executors/kubernetes/pool_pods.py": 1,
    "executors/docker/patience.py": 1,
    "executors/warm/template.py": 1,
    "kubernetes/informer.py": 2,
    "executors/local/shim/service.py": 1,
    "runtime/cortex_internal/lib/log.py": 3,
    "runtime/cortex_worker/class_worker.py": 3,
    "runtime/cortex_worker/user_class.py": 1,
    "runtime/cortex_worker/dequeuer.py": 1,
    "runtime/fabric_pod/orders.py": 1,
    "store/connection.py": 1,
    "store/__init__.py": 1,
    "store/writer.py": 1,
    "scaffold/files.py": 1,
    "scaffold/rendering.py": 1,
}  # ticks and what they do for one of many, border, roll-back and clean-up that raise on, code of a template or a skill

FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(_tree(path)))


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _own(path: Path) -> set[str]:
    """Return the modules of the package that a file imports."""
    rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("fabric_jobs.") and name.count(".")}
    return rooms & FLOORS.keys()


def test_a_file_imports_only_floors_below() -> None:
    wrong = [
        f"{_name(path)}: {room} imports {other}"
        for path in FILES
        for room in [_room(path)]
        for other in _own(path) - {room}
        if FLOORS[other] >= FLOORS[room] and (room, other) not in NEIGHBOURS
    ]
    assert wrong == []


def test_every_room_has_a_floor() -> None:
    assert {_room(path) for path in FILES} <= FLOORS.keys()


def test_modules_have_no_cycles() -> None:
    modules = {".".join(("fabric_jobs", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {name: {other for other in _imports(path) if other in modules} - {name} for name, path in modules.items()}
    # `from package import module` names the package too; its __init__ is a table of contents, not a dependency.
    for name, others in graph.items():
        graph[name] = {other for other in others if not any(deeper.startswith(f"{other}.") for deeper in others)}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"import cycle: {' -> '.join((*above[above.index(name) :], name))}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_name_of_a_class_means_one_thing() -> None:
    files = [path for path in FILES if not _name(path).startswith(PROGRAMS)]
    classes = Counter(node.name for path in files for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef))
    assert {name for name, count in classes.items() if count > 1} <= SHARED_WORDS


def test_sizes() -> None:
    assert [found for path in FILES for found in _too_large(path)] == []


def _too_large(path: Path) -> Iterator[str]:
    name = _name(path)
    if len(path.read_text().splitlines()) > FILE_LINES:
        yield f"{name} has more than {FILE_LINES} lines"
    for node in _nodes(path):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        is_class = isinstance(node, ast.ClassDef)
        length = (node.end_lineno or 0) - node.lineno + 1
        if length > (CLASS_LINES if is_class else FUNCTION_LINES):
            yield f"{name}: {node.name} has {length} lines"
        if isinstance(node, ast.ClassDef):
            if BANNED.search(node.name):
                yield f"{name}: {node.name} is a banned word"
            continue
        count = len([argument for argument in node.args.args if argument.arg not in ("self", "cls")])
        count += len(node.args.kwonlyargs)
        if count > PARAMETERS and _room(path) != "cli" and not _is_flat_record(node):
            yield f"{name}: {node.name} has {count} parameters"


def _is_flat_record(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function's keywords are the columns of a row: a record, not options."""
    return node.name == "create" and len(node.args.args) <= 1


def test_public_things_have_docstrings() -> None:
    wrong = [_name(path) for path in FILES if not ast.get_docstring(_tree(path))]
    for path in FILES:
        wrong += [f"{_name(path)}: {node.name}" for node in _reachable(_tree(path)) if not ast.get_docstring(node)]
    assert wrong == []


def _reachable(within: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public classes and functions outside functions."""
    for node in ast.iter_child_nodes(within):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        if not is_function:
            yield from _reachable(node)


def test_foreign_libraries_have_one_place() -> None:
    wrong = [
        f"{_name(path)} imports {library}, which belongs in {FOREIGN[library]}"
        for path in FILES
        for library in {name.split(".")[0] for name in _imports(path)} & FOREIGN.keys()
        if not _name(path).startswith(FOREIGN[library])
    ]
    assert wrong == []


def test_what_is_heavy_is_imported_late() -> None:
    assert [found for path in FILES for found in _early(path)] == []


def _early(path: Path) -> Iterator[str]:
    late = tuple(f"{name}." for name in set(LATE) - MAY_IMPORT_EARLY.get(_name(path), set()))
    for node in _tree(path).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        yield from (f"{_name(path)} imports {name} at its top" for name in names if f"{name}.".startswith(late))


def test_sql_stands_in_the_store_only() -> None:
    statement = re.compile(r"\b(select\s.+\sfrom|insert into|delete from|update \w+ set)\b", re.IGNORECASE)
    for path in FILES:
        if _room(path) != "store":
            assert not statement.search(path.read_text()), f"{path} has SQL in it"


def test_every_query_is_used_and_explained() -> None:
    text = "\n".join(path.read_text() for path in (PACKAGE / "store" / "queries").glob("*.sql"))
    code = "\n".join(path.read_text() for path in FILES)
    for name, sentence in re.findall(r"^-- name: (\w+)(?:, \w+)?\n(.*)\n", text, flags=re.MULTILINE):
        assert any(f'"{used}"' in code for used in (name, name.removesuffix("_count"))), f"query {name} is never used"
        assert sentence.startswith("-- "), f"query {name} is not explained"


def test_the_runtime_layer_needs_the_standard_library_only() -> None:
    own = {path.name for path in (PACKAGE / "runtime").iterdir()}
    for path in (PACKAGE / "runtime").rglob("*.py"):
        for name in _imports(path):
            assert name.split(".")[0] in sys.stdlib_module_names | own, f"{path.name} imports {name}"
        assert "http.client" not in _imports(path), "http.client doubles the start of a job"


def test_the_shim_is_a_program_of_its_own() -> None:
    """It imports only its neighbours, relatively, and modules of the standard library that load fast."""
    for path in (PACKAGE / "executors" / "local" / "shim").rglob("*.py"):
        levels = [node.level for node in _nodes(path) if isinstance(node, ast.ImportFrom)]
        assert set(levels) <= {0, 1}, f"{path.name} imports what is above it"
        names = {name.split(".")[0] for name in _imports(path)}
        assert names <= sys.stdlib_module_names, f"{path.name} imports {names - sys.stdlib_module_names}"
        late = {"ctypes"} if path.name == "templates.py" else set()  # only once there is a template process
        assert not (names - late) & {
            "asyncio",
            "ctypes",
            "dataclasses",
            "logging",
            "pathlib",
            "subprocess",
            "threading",
        }, path.name


def test_broad_excepts_are_counted() -> None:
    found: dict[str, int] = {}
    for path in FILES:
        count = len(re.findall(r"except\*? (Exception|BaseException)\b", path.read_text()))
        if count:
            found[_name(path)] = count
    assert {name: count for name, count in found.items() if count > BROAD_EXCEPTS.get(name, 0)} == {}

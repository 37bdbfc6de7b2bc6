"""The class of an API: its `handler` or `definition`."""

from __future__ import annotations

import posixpath
import re
from typing import Any, NamedTuple

from fabric_jobs.apis import ApiCode, Compute
from fabric_jobs.documents.action import TEXTS, WARM_KIND
from fabric_jobs.documents.api_compute import CPU_FIELD, GPU_FIELD, INF_FIELD, MEM_FIELD, SHARED, warn_of_chips
from fabric_jobs.documents.api_containers import ENV_FIELD, IMAGE_KIND
from fabric_jobs.documents.fields import ENTRIES, Field, Kind, Shape, anchored, choice
from fabric_jobs.documents.reader import Reader

LEVELS = ("debug", "info", "warning", "error")
SUFFIXES = (".py", ".pickle")
INSIDE = r"(?!/)(?!(.*/)?\.\.(/|$))[^\u0000-\u001f]+"  # a path that does not leave the project
CODE = INSIDE + r"\.(py|pickle)"
SUBDIRECTORY = r"(?!(\./?)+$)" + INSIDE
NO_TENSORFLOW = (
    "fabric-jobs does not serve models with TensorFlow Serving; load the model in the class, with 'type: python'"
)
OF_TENSORFLOW = ("models", "tensorflow_serving_image", "server_side_batching", "multi_model_reloading")


def _inside(reader: Reader, field: Field) -> str:
    """Return a path below the project, in its shortest form."""
    path, inner = reader.text(field.key), reader.inner(field.key)
    if inner is None or not isinstance(inner.node.value, str):
        return str(field.default or "")
    if not re.fullmatch(INSIDE, path):
        inner.error(f"'{path}' must be a path below the directory of this file, without '..'")
    return posixpath.normpath(path) if path else ""


def _code_path(reader: Reader, field: Field) -> str:
    path = _inside(reader, field)
    if path and not path.endswith(SUFFIXES):
        reader.error(f"'{path}' must end with {' or '.join(SUFFIXES)}", field.key)
    return path


def _python_path(reader: Reader, field: Field) -> str:
    path = _inside(reader, field)
    if path == ".":
        reader.error("this is the directory of the file, which is the default; remove the key", field.key)
    return path


def _type(reader: Reader, field: Field) -> str:
    text, inner = reader.text(field.key), reader.inner(field.key)
    if text in ("tensorflow", "onnx"):
        reader.error(f"'{text}' is not supported: {NO_TENSORFLOW}", field.key)
    elif inner is not None and isinstance(inner.node.value, str):
        reader.choice(field.key, ("python",), "python")
    return "python"


class Dependencies(NamedTuple):
    """The files that name what the code needs, relative to the project."""

    pip: str = ApiCode._field_defaults["pip"]
    conda: str = ApiCode._field_defaults["conda"]
    shell: str = ApiCode._field_defaults["shell"]


PATH_KIND = Kind({"type": "string", "pattern": anchored(INSIDE)}, "text", _inside)
DEPENDENCIES = Shape(
    "dependencies",
    "The files that name what the code needs. One that does not exist is skipped.",
    Field("pip", PATH_KIND, "Packages of Python, in the form of a requirements.txt.", default=Dependencies().pip),
    Field(
        "conda",
        PATH_KIND,
        "Packages of conda, for containers whose image has conda.",
        default=Dependencies().conda,
    ),
    Field(
        "shell",
        PATH_KIND,
        "A script that runs first, only in containers.",
        default=Dependencies().shell,
    ),
    make=Dependencies,
)


def _dependencies(reader: Reader, field: Field) -> Dependencies:
    inner = reader.inner(field.key)
    found: Dependencies | None = DEPENDENCIES.read(inner) if inner else None
    return found or Dependencies()


COMMON = (
    Field(
        "config",
        ENTRIES,
        "What the class gets as `config`. That of a job is merged into it, key by key.",
        absent="empty",
    ),
    Field(
        "python_path",
        Kind({"type": "string", "pattern": anchored(SUBDIRECTORY)}, "text", _python_path),
        "A directory below that of the file, from which modules are imported.",
        absent="the directory of the file",
    ),
    Field("image", IMAGE_KIND, "The image, where images are used.", absent="one with Python"),
    ENV_FIELD,
    Field("log_level", choice(*LEVELS), "The least level that the logger writes.", default="info"),
    Field("shm_size", SHARED, "The size of `/dev/shm` in a container."),
    Field("warm", WARM_KIND, "Workers are forked from a process that has imported their packages.", default=False),
    Field("dependencies", Kind(DEPENDENCIES, "mapping", _dependencies), "The files that name what the code needs."),
)
PATH = Kind({"type": "string", "pattern": anchored(CODE)}, "text", _code_path)
HANDLER = Shape(
    "handler",
    "The class `Handler` of a Batch API.",
    Field("type", Kind({"enum": ["python"]}, "`python`", _type), "The kind of class.", default="python"),
    Field(
        "path",
        PATH,
        "The file with the class `Handler`, below the directory of this file: `.py` or `.pickle`.",
        required=True,
        missing="write the file with the class Handler, like handler.py",
    ),
    *COMMON,
    refused=dict.fromkeys(OF_TENSORFLOW, NO_TENSORFLOW),
)
DEFINITION = Shape(
    "definition",
    "The class `Task` of a Task API.",
    Field(
        "path",
        PATH,
        "The file with the class `Task`, below the directory of this file: `.py` or `.pickle`.",
        required=True,
        missing="write the file with the class Task, like task.py",
    ),
    *COMMON,
)
CODE_COMPUTE = Shape(
    "code_compute",
    "What a worker with a class may use.",
    CPU_FIELD,
    MEM_FIELD,
    GPU_FIELD,
    INF_FIELD,
    Field("node_groups", TEXTS, "Groups of nodes. No effect here."),
)


def read_code(shape: Shape, reader: Reader) -> ApiCode | None:
    """Return the code that `reader` is at; None if it is not a mapping."""
    values = shape.values(reader)
    if values is None:
        return None
    values.pop("type", None)
    files: Dependencies = values.pop("dependencies")
    return ApiCode(**values, **files._asdict())


def read_compute(reader: Reader) -> tuple[Compute, tuple[str, ...]]:
    """Return what a worker with a class may use, and its groups of nodes."""
    values: dict[str, Any] | None = CODE_COMPUTE.values(reader)
    if values is None:
        return Compute(), ()
    groups: tuple[str, ...] = values.pop("node_groups")
    found = Compute(**values)
    warn_of_chips(reader, found)
    if found.gpu and found.inf:
        reader.error("a worker has either 'gpu' or 'inf', not both", "inf")
    return found, groups

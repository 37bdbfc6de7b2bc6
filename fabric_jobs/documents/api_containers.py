"""The pod of an API: the containers of one worker."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fabric_jobs.apis import Api, ApiContainer
from fabric_jobs.documents.action import COMMAND, TEXTS
from fabric_jobs.documents.api_compute import COMPUTE_FIELD
from fabric_jobs.documents.api_probes import LIVENESS_FIELD, PORT_KIND, READINESS_FIELD
from fabric_jobs.documents.environment import ENVIRONMENT
from fabric_jobs.documents.environment import NAME as VARIABLE
from fabric_jobs.documents.fields import Field, Kind, Shape, anchored, listed, whole
from fabric_jobs.documents.reader import Reader, distinct
from fabric_jobs.names import DNS_NAME

DNS_RULE = (
    "it must start with a small letter, contain only small letters, digits and '-', and end with a letter or digit"
)
LONGEST_NAME = 63
OF_CORTEX = ("CORTEX_", "KUBEXIT_")  # variables that the worker's place sets itself
BESIDE = ("dequeuer", "proxy")  # containers that run beside those of an API
IMAGE = r"\S+"
MOST_AT_A_TIME = 1000


def dns_name(reader: Reader, what: str, longest: int) -> str:
    """Return the text at `name`; note a problem unless it can be a part of a host's name."""
    name, inner = reader.text("name"), reader.inner("name")
    if inner is None or not isinstance(inner.node.value, str):
        return name
    if not re.fullmatch(DNS_NAME, name):
        inner.error(f"'{name}' is not a valid name of {what}: {DNS_RULE}")
    elif len(name) > longest:
        inner.error(f"the name has {len(name)} characters; at most {longest} are allowed")
    return name


def _container_name(reader: Reader, _field: Field) -> str:
    name = dns_name(reader, "a container", LONGEST_NAME)
    if name in BESIDE:
        reader.error(f"the name '{name}' is reserved; choose another one", "name")
    return name


def _image(reader: Reader, field: Field) -> str:
    return reader.matches(field.key, IMAGE, "the name of an image: it is empty, or has a space")


def _variables(reader: Reader, field: Field) -> dict[str, str]:
    inner = reader.inner(field.key)
    if inner is not None and not isinstance(inner.node.value, dict):
        inner.error("this must be a mapping of names to text, like {LEVEL: high}")
        return {}
    read = ENVIRONMENT.read
    assert read is not None, "the kind of skill.yaml reads it"
    found: dict[str, str] = read(reader, field)
    for name, value in found.items():
        if inner is not None and name.startswith(OF_CORTEX):
            inner.at_key(
                f"'{name}' is set by fabric-jobs itself: names must not start with {' or '.join(OF_CORTEX)}", name
            )
        _check_text(reader, value, field.key, name)
    return found


def _check_text(reader: Reader, text: str, *steps: str | int) -> None:
    if "\0" in text:
        reader.error("no program can get the character U+0000; remove it", *steps)


def _words(kind: Kind) -> Kind:
    """Return a kind of a list of words whose words can be passed to a program."""

    def value(reader: Reader, field: Field) -> tuple[str, ...]:
        assert kind.read is not None, "the kind of skill.yaml reads it"
        found: tuple[str, ...] = kind.read(reader, field)
        for index, word in enumerate(found):
            _check_text(reader, word, field.key, index)
        return found

    return Kind({**kind.schema, "items": {"type": "string"}}, kind.words, value)


ENV = Kind(
    {
        "type": "object",
        "propertyNames": {"pattern": f"^(?!{'|'.join(OF_CORTEX)}){VARIABLE}$"},
        "additionalProperties": {"type": ["string", "null"]},
    },
    "mapping",
    _variables,
)
ENV_FIELD = Field(
    "env", ENV, "Environment variables. Names must not start with `CORTEX_` or `KUBEXIT_`.", absent="none"
)
IMAGE_KIND = Kind({"type": "string", "pattern": anchored(IMAGE)}, "text", _image)
CONTAINER = Shape(
    "container",
    "One container of a worker.",
    Field(
        "name",
        Kind(
            {
                "type": "string",
                "pattern": anchored(DNS_NAME),
                "maxLength": LONGEST_NAME,
                "not": {"enum": list(BESIDE)},
            },
            "name",
            _container_name,
        ),
        "The name of the container: small letters, digits and `-`, at most 63. The names of an API differ.",
        required=True,
        missing="name the container",
    ),
    Field(
        "image",
        IMAGE_KIND,
        "The image. Where no image is used, the command runs as a process in the directory of the file.",
        required=True,
        missing="write the name of the image",
    ),
    Field(
        "command",
        _words(COMMAND),
        "The program and its first arguments; not run in a shell. `$(NAME)` stands for a variable, such as `$(CORTEX_PORT)`.",
        required=True,
        missing='write the program and its arguments, like ["python", "main.py"]',
    ),
    Field("args", _words(TEXTS), "More arguments."),
    ENV_FIELD,
    COMPUTE_FIELD,
    READINESS_FIELD,
    LIVENESS_FIELD,
    make=ApiContainer,
    refused={"pre_stop": "'pre_stop' is for APIs that answer requests; a worker ends after its batch. Remove it"},
)


class Pod(NamedTuple):
    """The pod of an API, as read."""

    port: int
    max_concurrency: int
    containers: tuple[ApiContainer, ...]


POD = Shape(
    "pod",
    "The containers of one worker.",
    Field(
        "port",
        PORT_KIND,
        "Where one of the containers listens for batches. Not 8888 or 15000. The variable `CORTEX_PORT` has it.",
        default=Api._field_defaults["port"],
        of="BatchAPI",
    ),
    Field(
        "max_concurrency",
        whole(1, MOST_AT_A_TIME),
        "How many batches a worker is sent at a time. An addition.",
        default=Api._field_defaults["max_concurrency"],
        of="BatchAPI",
        since="0.6.0",
    ),
    Field(
        "containers",
        listed(CONTAINER)._replace(schema={"type": "array", "minItems": 1, "items": CONTAINER}),
        "The containers, at least one.",
        required=True,
        missing="list at least one container",
    ),
    make=Pod,
)


def read_pod(reader: Reader) -> Pod | None:
    """Return the pod that `reader` is at; None if it is not a mapping."""
    pod: Pod | None = POD.read(reader)
    items = reader.items("containers")
    if pod is None:
        return None
    inner = reader.inner("containers")
    if inner is not None and inner.node.value == []:
        inner.error("the list is empty; it needs at least one container")
    distinct(items, [item.text("name") for item in items], "container")
    chips = [(container.compute.gpu, container.compute.inf) for container in pod.containers]
    if any(gpu for gpu, _ in chips) and any(inf for _, inf in chips):
        reader.error("a worker has either 'gpu' or 'inf', not both", "containers")
    return pod


def of_a_batch_api(reader: Reader) -> tuple[tuple[Reader, str], ...]:
    """Return reader and key of what only the pod of a Batch API may have."""
    keys = [field.key for field in POD.fields if field.of]
    inner = [(item, field.key) for item in reader.items("containers") for field in CONTAINER.fields if field.of]
    return tuple((where, key) for where, key in [*((reader, key) for key in keys), *inner] if where.has(key))


def no_batches() -> dict[str, Any]:
    """Return the schema of a pod without what only that of a Batch API may have."""
    null = {"type": "null"}
    container = {"properties": {field.key: null for field in CONTAINER.fields if field.of}}
    return {
        "properties": {
            **{field.key: null for field in POD.fields if field.of},
            "containers": {"items": container},
        }
    }

"""The probes of an API's containers."""

from __future__ import annotations

from typing import Any

from fabric_jobs.apis import Probe
from fabric_jobs.documents.action import COMMAND, PORT
from fabric_jobs.documents.fields import Field, Kind, Shape, anchored, only, whole
from fabric_jobs.documents.reader import Reader

RESERVED = (8888, 15000)  # of the parts that run beside the containers
LONGEST = 1_000_000  # seconds, or probes in a row
PATH = r"[!-~]*"  # goes into a request line as it is
HANDLERS = ("http_get", "tcp_socket", "exec")
EXEC_WHY = "'exec' is only for a liveness_probe; write http_get or tcp_socket, or probe from a program that listens"


def _port(reader: Reader, field: Field) -> int:
    text = reader.matches(field.key, PORT, "a port; write a number from 1 to 65535")
    if not text:
        return int(field.default or 0)
    if not 1 <= int(text) <= 65_535:
        reader.error(f"{text} is not a port; write a number from 1 to 65535", field.key)
    elif int(text) in RESERVED:
        reader.error(f"the port {text} is reserved; choose another one", field.key)
    return int(text)


def _path(reader: Reader, field: Field) -> str:
    path = reader.text(field.key)
    if any(not "!" <= letter <= "~" for letter in path):
        reader.error("a path has no spaces and only ASCII characters; write others as %20 and so on", field.key)
    return f"/{path.removeprefix('/')}"


PORT_KIND = Kind(
    {
        "type": ["integer", "string"],
        "pattern": anchored(PORT),
        "minimum": 1,
        "maximum": 65_535,
        "not": {"enum": [value for port in RESERVED for value in (port, str(port))]},
    },
    "1 to 65535",
    _port,
)
PORT_FIELD = Field("port", PORT_KIND, "The port.", required=True, missing="write the port to probe")
HTTP_GET = Shape(
    "http_get",
    "A request over HTTP; any status from 200 to 399 is a success.",
    PORT_FIELD,
    Field("path", Kind({"type": "string", "pattern": anchored(PATH)}, "text", _path), "The path.", default="/"),
)
TCP_SOCKET = Shape("tcp_socket", "A connection to a port.", PORT_FIELD)
EXEC = Shape(
    "exec",
    "A command in the container; exit code 0 is a success.",
    Field("command", COMMAND, "The command; not run in a shell.", required=True, missing="write the command to run"),
)


def _probe(shape: Shape) -> Kind:
    """Return the kind of a probe of this shape."""

    def value(reader: Reader, field: Field) -> Probe | None:
        inner = reader.inner(field.key)
        values = shape.values(inner) if inner else None
        return None if inner is None or values is None else _made(inner, values)

    return Kind(shape, "mapping", value)


def _made(reader: Reader, values: dict[str, Any]) -> Probe | None:
    handlers = [(key, given) for key in HANDLERS if (given := values.pop(key, None)) is not None]
    if sum(reader.has(key) for key in HANDLERS) != 1:
        reader.error(f"a probe has exactly one of the keys {', '.join(HANDLERS[:-1])} and {HANDLERS[-1]}")
    if not handlers:
        return None
    kind, given = handlers[0]
    numbers = {key: number or getattr(DEFAULTS, key) for key, number in values.items()}
    return Probe(kind=kind, **given, **numbers)


def _number(key: str, sentence: str) -> Field:
    default = getattr(DEFAULTS, key)
    return Field(key, whole(0, LONGEST), sentence, default=default)


def _handler(shape: Shape) -> Field:
    def value(reader: Reader, field: Field) -> dict[str, Any] | None:
        inner = reader.inner(field.key)
        return shape.read(inner) if inner else None

    return Field(shape.name, Kind(shape, "mapping", value), shape.sentence)


DEFAULTS = Probe(kind="")
NUMBERS = (
    _number("initial_delay_seconds", "How long after the start of the container the first probe is made."),
    _number("timeout_seconds", "How long a probe may take. 0 means 1."),
    _number("period_seconds", "The time between two probes. 0 means 10."),
    _number("success_threshold", "How many successes in a row make it healthy. 0 means 1."),
    _number("failure_threshold", "How many failures in a row make it unhealthy. 0 means 3."),
)
READINESS = Shape(
    "readiness_probe",
    "How a container is asked whether it can take batches. Either `http_get` or `tcp_socket`.",
    _handler(HTTP_GET),
    _handler(TCP_SOCKET),
    *NUMBERS,
    rules={"oneOf": [only("http_get", "tcp_socket"), only("tcp_socket", "http_get")]},
    refused={"exec": EXEC_WHY},
)
LIVENESS = Shape(
    "liveness_probe",
    "How a container is asked whether it still works. Exactly one of `http_get`, `tcp_socket` and `exec`.",
    *(_handler(shape) for shape in (HTTP_GET, TCP_SOCKET, EXEC)),
    *NUMBERS,
    rules={"oneOf": [only(key, *(other for other in HANDLERS if other != key)) for key in HANDLERS]},
)
READINESS_FIELD = Field(
    "readiness_probe",
    _probe(READINESS),
    "How it is asked whether it can take batches. Without one, its port has to be open.",
    of="BatchAPI",
)
LIVENESS_FIELD = Field("liveness_probe", _probe(LIVENESS), "How it is asked whether it still works.")

"""What a worker of an API may use: processors, memory, graphics processors, shared memory."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fabric_jobs import sizes
from fabric_jobs.apis import Compute
from fabric_jobs.documents.action import CPU
from fabric_jobs.documents.fields import Field, Kind, Shape, anchored, whole
from fabric_jobs.documents.reader import Reader

LEAST_CPU = Decimal("0.02")
LEAST_MEMORY = 20 << 20  # bytes
MEMORY = r"[0-9]+(\.[0-9]+)?([kKMGTPE]|[KMGTPE]i)?"


def _cpu(reader: Reader, field: Field) -> str:
    """Return the processors; empty for null, which in an API file means that none are asked for."""
    node = reader.node.child(field.key)
    if node is None or node.value is None:
        return str(field.default) if node is None else ""
    text = reader.matches(field.key, CPU, "an amount of processors; write it like 2, 0.5 or 500m")
    if text and _cores(text) < LEAST_CPU:
        reader.error(f"{text} is too little: the least is 20m", field.key)
    return text


def _cores(text: str) -> Decimal:
    return Decimal(text[:-1]) / 1000 if text.endswith("m") else Decimal(text)


def _memory(reader: Reader, field: Field) -> str:
    text = reader.matches(field.key, MEMORY, "an amount of memory; write it like 512Mi or 2Gi")
    text = f"{text[:-1]}k" if text.endswith("K") else text  # docker and Kubernetes know only the small one
    if text and field.key == "mem" and sizes.bytes_of(text) < LEAST_MEMORY:
        reader.error(f"{text} is too little: the least is 20Mi", field.key)
    return text


def quantity(pattern: str, least: float) -> dict[str, Any]:
    """Return the schema of an amount: a number from `least` on, or text."""
    return {"type": ["string", "number"], "pattern": anchored(pattern), "minimum": least}


def compute(reader: Reader, _field: Field) -> Compute:
    """Return what the mapping at `compute` says; without one, the defaults."""
    inner = reader.inner("compute")
    if inner is None:
        return Compute()
    found: Compute | None = COMPUTE.read(inner)
    if found is None:
        return Compute()
    if found.mem and found.shm and sizes.bytes_of(found.shm) > sizes.bytes_of(found.mem):
        inner.error(f"'shm' is {found.shm}, more than 'mem', {found.mem}, of which it is a part", "shm")
    warn_of_chips(inner, found)
    return found


def warn_of_chips(reader: Reader, found: Compute) -> None:
    """Note that chips are asked for which no place has."""
    if found.inf:
        reader.warn("'inf' has no effect: fabric-jobs has no place with Inferentia chips", "inf")


CPU_FIELD = Field(
    "cpu",
    Kind(quantity(CPU, 0.02), "number or text", _cpu),
    "Processors that are asked for: `2`, `0.5` or `500m`, at least `20m`. null asks for none. It is a request, not a limit.",
    default=Compute().cpu,
)
MEM_FIELD = Field(
    "mem",
    Kind(quantity(MEMORY, LEAST_MEMORY), "number or text", _memory),
    "Memory: `512Mi`, `2Gi`, or bytes; at least `20Mi`.",
)
GPU_FIELD = Field("gpu", whole(0, 1000), "Graphics processors.", default=0)
INF_FIELD = Field("inf", whole(0, 1000), "Inferentia chips. No effect here.", default=0)
SHARED = Kind(quantity(MEMORY, 0), "number or text", _memory)
COMPUTE = Shape(
    "compute",
    "What a container may use.",
    CPU_FIELD,
    MEM_FIELD,
    GPU_FIELD,
    INF_FIELD,
    Field("shm", SHARED, "The size of `/dev/shm`, a part of the memory."),
    make=Compute,
)
COMPUTE_FIELD = Field("compute", Kind(COMPUTE, "mapping", compute), "What it may use.")

"""Prometheus' text format, written by hand, because a client library would count again what is already counted."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response

import fabric_jobs
from fabric_jobs.gateway.job_metrics import job_lines
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.kubernetes.asked import ASKED
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import activations, tasks
from fabric_jobs.store.totals import totals

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DROPPED = ("connections", "head", "no-http", "slow-head", "slow-body", "slow-reader", "ending")
STARTED_AT = time.time()


class Family(NamedTuple):
    """One metric: its name without the prefix, kind, meaning, and samples by labels."""

    name: str
    kind: str  # counter | gauge
    meaning: str
    samples: Mapping[str, float]

    def lines(self) -> Iterator[str]:
        """Yield the lines of its text."""
        yield f"# HELP fabric_jobs_{self.name} {self.meaning}"
        yield f"# TYPE fabric_jobs_{self.name} {self.kind}"
        for labels, value in self.samples.items():
            shown = f"{{{labels}}}" if labels else ""
            yield f"fabric_jobs_{self.name}{shown} {value!r}"


async def metrics(call: Call) -> Response:
    """Answer with all numbers in Prometheus' text format; see [metrics](../howto/metrics.md)."""
    parts = call.parts
    # Not in the loop's thread: this counts whole tables.
    stored, of_jobs = await asyncio.to_thread(lambda: (list(_stored(parts)), list(job_lines(parts.store.read))))
    families = [*stored, *_now(parts), *_process()]
    lines = [*(line for family in families for line in family.lines()), *of_jobs, *parts.reported.lines(), ""]
    return Response("\n".join(lines), headers={"content-type": MEDIA_TYPE})


def _stored(parts: Parts) -> Iterator[Family]:
    found = totals(parts.store.read)
    states = {f'state="{state.value}"': found.activations.get(state.value, 0) for state in ActivationState}
    yield Family("activations", "gauge", "Activations in the state directory.", states)
    states = {f'state="{state.value}"': found.tasks.get(state.value, 0) for state in TaskState}
    yield Family("tasks", "gauge", "Tasks in the state directory.", states)
    yield _one("records_appended_total", "counter", "Records appended to channels.", found.records_appended)
    yield _one("record_bytes_appended_total", "counter", "Bytes of these records.", found.bytes_appended)
    yield _one("records_acked_total", "counter", "Records that their consumers have finished.", found.records_acked)
    yield _one("dead_letters", "gauge", "Records that used up their attempts.", found.dead_letters)
    yield _one("events_total", "counter", "Events: moves of tasks and activations.", found.events)


def _now(parts: Parts) -> Iterator[Family]:
    traffic, settings, sql = parts.traffic, parts.settings, parts.store.read
    of_places = {f'place="{place}"': place for place in parts.executors}
    slots = {label: settings.slots_in(place) for label, place in of_places.items()}
    yield Family("slots", "gauge", "Tasks with one record that may run at a time, by place.", slots)
    busy = {label: tasks.busy_slots(sql, place) for label, place in of_places.items()}
    yield Family("slots_busy", "gauge", "Such tasks that run.", busy)
    yield _one("activations_most", "gauge", "Activations that may run at a time.", settings.activations)
    yield _one("activations_waiting", "gauge", "Activations that wait for their turn.", activations.waiting(sql))
    yield _one("commits_total", "counter", "Transactions since the start of the process.", parts.store.commits)
    yield _one("writer_queue", "gauge", "Operations that wait for the next transaction.", parts.store.waiting)
    yield _one("http_requests_total", "counter", "Requests since the start of the process.", traffic.requests)
    yield _one("http_requests_in_flight", "gauge", "Requests that are being answered.", traffic.in_flight)
    yield _one("http_connections", "gauge", "Open connections.", traffic.connections)
    yield _one(
        "http_waiting", "gauge", "Requests that wait for news: long polls, senders without credit.", parts.live.waiting
    )
    dropped = {f'reason="{reason}"': traffic.dropped[reason] for reason in DROPPED}
    yield Family("http_dropped_total", "counter", "Connections that the gateway closed on somebody.", dropped)
    asked = {f'method="{method}"': ASKED[method] for method in sorted(ASKED)}
    yield Family("kubernetes_requests_total", "counter", "Requests to clusters; a watch is one.", asked)
    yield _one("engine_alive", "gauge", "1 while the engine's thread runs.", int(parts.engine.alive))


def _process() -> Iterator[Family]:
    labels = f'version="{fabric_jobs.__version__}",python="{platform.python_version()}"'
    yield Family("build_info", "gauge", "Which version runs; always 1.", {labels: 1})
    yield _one("process_cpu_seconds_total", "counter", "Processor time of the owner process.", time.process_time())
    yield _one("process_resident_memory_bytes", "gauge", "Memory of the owner process.", _resident_bytes())
    yield _one("process_start_time_seconds", "gauge", "When it started, in seconds since 1970.", STARTED_AT)
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        yield _one("process_open_fds", "gauge", "Its open files.", len(os.listdir(descriptors)))


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: use the peak size
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _one(name: str, kind: str, meaning: str, value: float) -> Family:
    return Family(name, kind, meaning, {"": value})


OPERATIONS = (Operation("GET", "/metrics", metrics, answer="Text", role="owner"),)

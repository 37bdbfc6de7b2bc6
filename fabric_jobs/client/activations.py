"""Activations as commands follow them: until the end, the response, and the reason of a failure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.client.response import ResponseReader
from fabric_jobs.errors import RunFailed
from fabric_jobs.states import FINAL_TASK_STATES

CANCEL_SECONDS = 5.0  # between two looks at an activation that is being cancelled; events arrive sooner
GATHER_SECONDS = 0.2  # events of a running activation are gathered for this long
ALL_EVENTS = 2**53  # no event has such a number: asks only for the progress

Watch = Callable[[Sequence[Mapping[str, Any]]], float]  # takes the progress, returns the seconds until the next


def find_activation(gateway: Gateway, activation_id: str) -> dict[str, Any]:
    """Return the record of an activation, by its id or the beginning of it; raise NotFound or InvalidInput."""
    record: dict[str, Any] = gateway.get(f"/activations/{segment(activation_id)}")
    return record


def whole_id(gateway: Gateway, activation_id: str) -> str:
    """Return the id of an activation, given the beginning of it; raise NotFound or InvalidInput."""
    return str(gateway.get(f"/activations/{segment(activation_id)}", report="true")["activationId"])


def progress_of(gateway: Gateway, activation_id: str) -> list[dict[str, Any]]:
    """Return what the skills of an activation have received and sent so far."""
    path = f"/activations/{segment(activation_id)}/follow"
    progress: list[dict[str, Any]] = gateway.get(path, after=ALL_EVENTS)["progress"]
    return progress


def follow(gateway: Gateway, activation_id: str, watch: Watch) -> dict[str, Any]:
    """Return the record of an activation once it has ended; `watch` sees the progress on the way."""
    after = 0
    pause = 0.0
    while True:
        path = f"/activations/{segment(activation_id)}/follow"
        news = gateway.get(path, after=after, wait=pause, pause=min(pause, GATHER_SECONDS))
        after = max([after, *(event["number"] for event in news["events"])])
        pause = watch(news["progress"])
        if "activation" in news:
            record: dict[str, Any] = news["activation"]
            return record


def cancel(gateway: Gateway, activation_id: str) -> None:
    """Cancel an activation and return once its last task has ended, so that nothing is still in use."""
    path = f"/activations/{segment(activation_id)}"
    gateway.post(f"{path}/cancel")
    after = 0
    while True:
        news = gateway.get(f"{path}/follow", after=after, wait=CANCEL_SECONDS)
        after = max([after, *(event["number"] for event in news["events"])])
        states = {state for node in news["progress"] for state, count in node["tasks"].items() if count}
        if "activation" in news and states <= FINAL_TASK_STATES:
            return


def response_of(gateway: Gateway, record: Mapping[str, Any], *, limit: int) -> Any:
    """Return the response of an activation; if its record has only {count, href}, the first `limit` records."""
    response = record["response"]
    if not is_long(record):
        return response
    parts = ResponseReader(gateway, str(record["activationId"]), limit=limit).parts()
    return [json.loads(line) for part in parts for line in part.splitlines()]


def is_long(record: Mapping[str, Any]) -> bool:
    """Tell whether the record has only {count, href} of a response that is over the limits."""
    response = record["response"]
    return (
        isinstance(response, dict)
        and set(response) == {"count", "href"}
        and str(response["href"]).endswith(f"/activations/{segment(str(record['activationId']))}/response")
    )


def check_ended_well(record: Mapping[str, Any]) -> None:
    """Raise RunFailed, with all that helps, unless an activation ended COMPLETE."""
    if record["status"] != "COMPLETE":
        raise failure(record)


def failure(record: Mapping[str, Any], *, last_lines: bool = True) -> RunFailed:
    """Return the error that says how an activation failed; without `last_lines` if the caller prints the log."""
    error = record.get("error") or {}
    lines = [
        f"activation {record['activationId']} ended {record['status']}: {record.get('cause') or 'no cause is known'}"
    ]
    if error.get("record"):
        place = error["record"]
        later = " or a later one" if place.get("orLater") else ""
        lines.append(f"  record: offset {place['offset']}{later} of {place['mapping']}")
    if error.get("exitCode") is not None:
        lines.append(f"  exit code: {error['exitCode']}")
    if error.get("lastLines") and last_lines:
        lines += ["  its last lines:", *(f"    {line}" for line in error["lastLines"])]
    hint = f"Read its log: fabric-jobs tasks logs {error['task']}" if error.get("task") else ""
    if error.get("hint"):
        hint = f"{error['hint']}\n{hint}".rstrip()
    if error.get("deadLetters"):
        hint = next_for_dead_letters(record)
    return RunFailed("\n".join(lines), hint=hint)


def next_for_dead_letters(record: Mapping[str, Any]) -> str:
    """Return the command to type after an activation that has left dead letters."""
    return f"Next: fabric-jobs deadletters list --activation {shlex.quote(str(record['activationId']))}"

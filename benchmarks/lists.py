"""Lists of activations: with large payloads against small ones; `--filters`: of many activations against few.

Each is a GET over the owner's socket. The activations are written to the store, as if they had run.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import Pair, arguments, measure, owner, report, workspace
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.states import ActivationState
from fabric_jobs.store import Store, Tx, activations
from fabric_jobs.store.activations import NewActivation

LISTED = 1000
SMALL, LARGE = 100, 1 << 20  # bytes of a payload
FEW = 1000  # activations
TOGETHER = 200  # in one transaction
RARE = 100  # one in so many has failed, is of an agent, and has a correlation id
CALLS = 20  # in one measurement
PAGE = 20


def fill(root: Path, count: int, payload: bytes) -> None:
    """Store ended activations, of which the oldest in RARE are special."""
    state = root / ".fabric-jobs"
    state.mkdir(mode=0o700)
    store = Store(state / "state.db")
    for first in range(0, count, TOGETHER if len(payload) < LARGE else 10):
        numbers = range(first, min(count, first + (TOGETHER if len(payload) < LARGE else 10)))
        store.write(lambda tx, numbers=numbers: _add(tx, numbers, payload)).result()  # type: ignore[misc]
    store.close()


def _add(tx: Tx, numbers: range, payload: bytes) -> None:
    for number in numbers:
        is_rare = number < FEW and number % RARE == 0
        new = NewActivation(
            activation_id=f"{number:024}",
            project_id="local",
            kind="agent" if is_rare else "skill",
            name="rare" if is_rare else "usual",
            entry="request",
            pins={"agent": None, "skills": {}},
            payload=payload,
            session_id=f"{number:024}",
            correlation_id="rare" if is_rare else f"{number:024}",
            username="local",
        )
        activations.create(tx, new)
        made = activations.find(tx, new.activation_id)
        assert made is not None
        activations.end(tx, made, ActivationState.ERROR if is_rare else ActivationState.COMPLETE)


def taking(gateway: Gateway, calls: int, **query: object) -> Callable[[], float]:
    """Return a function that asks for a page some times, and returns the milliseconds of a call, the median."""

    def ask() -> float:
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            gateway.get("/activations", **query)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds) * 1000

    ask()
    return ask


def of_payloads(pairs: int) -> list[Pair]:
    """Measure 1,000 activations with payloads of 1 MiB against 1,000 with payloads of 100 bytes."""
    with workspace() as large, workspace() as small:
        fill(large, LISTED, b'"' + b"x" * (LARGE - 2) + b'"')
        fill(small, LISTED, b'"' + b"x" * (SMALL - 2) + b'"')
        with owner(large) as ours, owner(small) as baseline:
            return measure(pairs, taking(ours, 5, limit=LISTED), taking(baseline, 5, limit=LISTED))


def of_filters(pairs: int, count: int) -> dict[str, list[Pair]]:
    """Measure each filter over `count` activations against the same over FEW."""
    with workspace() as many, workspace() as few:
        fill(many, count, b"1")
        fill(few, FEW, b"1")
        with owner(many) as ours, owner(few) as baseline:
            oldest = ours.get("/activations", sort="asc", limit=FEW)["activations"]
            early = {"many": oldest[10], "few": baseline.get("/activations", sort="asc", limit=11)["activations"][10]}
            filters: dict[str, dict[str, dict[str, object]]] = {
                "none": {"many": {}, "few": {}},
                "status": {side: {"status": "ERROR"} for side in early},
                "status of most": {side: {"status": "COMPLETE"} for side in early},
                "agentName": {side: {"agentName": "rare"} for side in early},
                "skillName": {side: {"skillName": "usual"} for side in early},
                "correlationId": {side: {"correlationId": "rare"} for side in early},
                "startBefore": {side: {"startBefore": found["start"]} for side, found in early.items()},
                "startAfter": {side: {"startAfter": found["start"]} for side, found in early.items()},
                "endBefore": {side: {"endBefore": found["end"]} for side, found in early.items()},
                "endAfter": {side: {"endAfter": found["end"]} for side, found in early.items()},
                "two": {side: {"status": "ERROR", "skillName": "usual"} for side in early},
            }
            found: dict[str, list[Pair]] = {}
            for name, query in filters.items():
                print(f" {name}", file=sys.stderr)
                sides = (
                    taking(side, CALLS, limit=PAGE, **query[key]) for side, key in ((ours, "many"), (baseline, "few"))
                )
                found[name] = measure(pairs, *sides)
            return found


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", activations=100_000, filters=False)
    if not wanted.filters:
        pairs = of_payloads(wanted.pairs)
        report("lists, payloads of 1 MiB", "ms", pairs, "wanted <= 1.5", as_json=wanted.json)
        return
    found = of_filters(wanted.pairs, wanted.activations)
    middle = {name: sorted(pairs, key=lambda pair: pair.ratio)[len(pairs) // 2] for name, pairs in found.items()}
    worst = max(middle, key=lambda name: middle[name].ratio)
    if wanted.json:
        values = {"ours": middle[worst].ours, "baseline": middle[worst].baseline, "unit": f"ms, {worst}"}
        print(json.dumps({"ratio": middle[worst].ratio, **values}))
        return
    for name, pair in middle.items():
        print(f"lists, filter {name}: {pair.ratio:.2f} x ({pair.ours:.3g} against {pair.baseline:.3g} ms; wanted <= 3)")


if __name__ == "__main__":
    main()

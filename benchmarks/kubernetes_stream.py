"""Records per second from one pod to another through the gateway, against the same benchmark on the local executor."""

from __future__ import annotations

from benchmarks.common import arguments, measure, report
from benchmarks.pods import namespace
from benchmarks.stream import FLIGHTS, serving


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=FLIGHTS)
    with namespace(), serving("kubernetes", wanted.records) as run:
        pairs = measure(wanted.pairs, run.kubernetes, run.local)
    facts = {"records": wanted.records, "as_json": wanted.json}
    report("kubernetes_stream", "records/s", pairs, "wanted >= 0.5", **facts)


if __name__ == "__main__":
    main()

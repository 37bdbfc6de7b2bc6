"""Runs the benchmarks one after the other and prints their ratios: `python -m benchmarks [NAME…]` (or `make bench`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# Name, goal of the ratio, and arguments that make it take minutes instead of hours.
BENCHMARKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "stream": (">= 1.15", ()),
    "year": ("<= 1.9", ("--pairs", "3")),
    "latency": ("<= 1.4", ()),
    "dispatch": ("<= 1.15", ()),
    "dispatch:warm": ("<= 2", ("--warm",)),
    "chain": ("<= 1.2", ()),
    "chain:warm": ("<= 0.3", ("--warm",)),
    "fanout": ("<= 1.2", ("--pairs", "3")),
    "fanout:warm": ("<= 0.25", ("--pairs", "3", "--warm")),
    "fanout:batch": ("<= 0.03", ("--pairs", "3", "--batch", "100", "--records", "30000", "--processes", "600")),
    "workers": (">= 1.7", ("--pairs", "3")),
    "daemon": (">= 0.6", ("--pairs", "3")),
    "batch": (">= 0.4", ("--pairs", "3")),
    "batch_load": ("<= 1.1", ()),
    "logs": (">= 0.8", ("--pairs", "3")),
    "cold": ("<= 2", ()),
    "growth": ("<= 1.1", ("--tasks", "10000")),
    "many": ("<= 1.3", ()),
    "poison": ("<= 6", ("--pairs", "3")),
    "rejects": (">= 0.9", ()),
    "build": ("<= 1.1", ()),
    "tokens": ("<= 1.1", ()),
    "lists": ("<= 1.5", ()),
    "lists:filters": ("<= 3", ("--filters", "--pairs", "3")),
    "fabric_http": (">= 0.7", ()),
    "content": (">= 0.5", ("--pairs", "3")),
    "kubernetes_scale": (">= 0.5", ("--tasks", "300", "--workers", "20", "--seconds", "1")),
    "content:down": (">= 0.5", ("--pairs", "3", "--way", "down")),
}
# The same for those that need a Docker engine. By default they run only if FABRIC_JOBS_TEST_BASE_IMAGE is set.
IN_CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "docker_dispatch": ("<= 1.1", ()),
    "stream:docker": (">= 0.9", ("--executor", "docker")),
}
# The same for those that need a Kubernetes cluster, too. By default they run only if KUBECONFIG is set.
IN_PODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kubernetes_dispatch": ("<= 0.5", ("--pairs", "3")),
    "kubernetes_dispatch:warm": ("<= 0.05", ("--pairs", "3", "--warm")),
    "kubernetes_stream": (">= 0.5", ("--pairs", "3")),
    "kubernetes_many": ("<= 6", ()),
    "kubernetes_secrets": ("<= 4", ("--pairs", "3")),
}


def main() -> int:
    """Run the named benchmarks, by default all; return 1 if one fails."""
    code = 0
    known = {**BENCHMARKS, **IN_CONTAINERS, **IN_PODS}
    for name in sys.argv[1:] or by_default():
        wanted, words = known[name]
        module = f"benchmarks.{name.partition(':')[0]}"
        ran = subprocess.run(
            [sys.executable, "-m", module, "--json", *words], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            code = 1
            print(f"{name:15} did not run:\n{ran.stderr}", flush=True)
            continue
        last = json.loads(ran.stdout.strip().splitlines()[-1])
        print(
            f"{name:15} {last['ratio']:.2f}  wanted {wanted}  ({last['ours']} against {last['baseline']} {last['unit']})",
            flush=True,
        )
    return code


def by_default() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the benchmarks that can run here."""
    if not os.environ.get("FABRIC_JOBS_TEST_BASE_IMAGE"):
        return BENCHMARKS
    return {**BENCHMARKS, **IN_CONTAINERS, **(IN_PODS if os.environ.get("KUBECONFIG") else {})}


if __name__ == "__main__":
    sys.exit(main())

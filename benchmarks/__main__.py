"""Runs the benchmarks one after the other and prints their ratios: `python -m benchmarks [NAME…]` (or `make bench`)."""

from __future__ import annotations

import json
import subprocess
import sys

# Name, what is wanted of the ratio, and the words that make it take minutes and not hours.
BENCHMARKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "stream": (">= 0.5", ()),
    "latency": ("<= 1.5", ()),
    "dispatch": ("<= 1.4", ()),
    "fanout": ("<= 1.4", ("--pairs", "3")),
    "daemon": (">= 0.6", ("--pairs", "3")),
    "logs": (">= 0.8", ("--pairs", "3")),
    "cold": ("<= 3", ()),
    "build": ("<= 1.1", ()),
}


def main() -> int:
    """Run the benchmarks that are named, else all; return 1 when one of them does not run."""
    code = 0
    for name in sys.argv[1:] or BENCHMARKS:
        wanted, words = BENCHMARKS[name]
        ran = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json", *words], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            code = 1
            print(f"{name:10} did not run:\n{ran.stderr}", flush=True)
            continue
        last = json.loads(ran.stdout.strip().splitlines()[-1])
        print(
            f"{name:10} {last['ratio']:.2f}  wanted {wanted}  ({last['ours']} against {last['baseline']} {last['unit']})",
            flush=True,
        )
    return code


if __name__ == "__main__":
    sys.exit(main())

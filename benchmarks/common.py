"""Shared parts of the benchmarks: pairs, medians, an owner with a workspace, and printing of results."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.client.gateway import Gateway
from fabric_jobs.runtime.fabric_skill.http import Connection
from fabric_jobs.shipped import examples_dir
from fabric_jobs.state_dir import read_address

RECORDS_FILE = examples_dir() / "flights" / "data" / "2013-01.ndjson.gz"


@dataclass(frozen=True)
class Pair:
    """Two measurements side by side."""

    ours: float
    baseline: float

    @property
    def ratio(self) -> float:
        """Ours over the baseline."""
        return self.ours / self.baseline


def arguments(description: str, **defaults: bool | int | tuple[str, ...]) -> argparse.Namespace:
    """Parse --pairs, --json and one option for each default: a switch, a number, or a choice whose default is its first word."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pairs", type=int, default=5, help="how often both are measured, in turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for name, value in defaults.items():
        if isinstance(value, bool):
            parser.add_argument(f"--{name}", action="store_true")
        elif isinstance(value, tuple):
            parser.add_argument(f"--{name}", choices=value, default=value[0])
        else:
            parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def measure(pairs: int, ours: Callable[[], float], baseline: Callable[[], float]) -> list[Pair]:
    """Measure both sides in turn, in an order that alternates from pair to pair."""
    found = []
    for index in range(pairs):
        if index % 2:
            base = baseline()
            found.append(Pair(ours(), base))
        else:
            mine = ours()
            found.append(Pair(mine, baseline()))
        print(f"  pair {index + 1}: ours {found[-1].ours:,.4g}, baseline {found[-1].baseline:,.4g}", file=sys.stderr)
    return found


def report(title: str, unit: str, pairs: list[Pair], goal: str, *, as_json: bool, **more: object) -> None:
    """Print the median ratio, as a line or as one JSON object."""
    result = {
        "ratio": statistics.median(pair.ratio for pair in pairs),
        "ours": statistics.median(pair.ours for pair in pairs),
        "baseline": statistics.median(pair.baseline for pair in pairs),
        "unit": unit,
        "pairs": [{"ours": pair.ours, "baseline": pair.baseline, "ratio": pair.ratio} for pair in pairs],
        **more,
    }
    if as_json:
        print(json.dumps(result))
        return
    print(f"{title}: {result['ratio']:.2f} x ({result['ours']:,.4g} against {result['baseline']:,.4g} {unit}; {goal})")
    for key, value in more.items():
        print(f"  {key}: {value}")


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield an empty workspace, and delete it afterwards."""
    root = Path(tempfile.mkdtemp(prefix="fabric-jobs-benchmark-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def owner(root: Path, *words: str, **variables: str) -> Iterator[Gateway]:
    """Serve a workspace in its own process with additional arguments and variables; yield its gateway."""
    command = [sys.executable, "-m", "fabric_jobs", "serve", "--state-dir", str(root / ".fabric-jobs"), *words]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL, env={**os.environ, **variables})
    try:
        while read_address(root / ".fabric-jobs") is None:
            if process.poll() is not None:
                raise RuntimeError("the owner did not start")
            time.sleep(0.01)
        yield Gateway(root / ".fabric-jobs")
    finally:
        process.terminate()
        process.wait()


def owner_rss(root: Path) -> int:
    """Return the resident memory of the owner in KiB (Linux)."""
    address = read_address(root / ".fabric-jobs")
    assert address is not None
    for line in Path(f"/proc/{address.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Resources used by the owner of a workspace (Linux)."""

    cpu: float  # seconds, without children
    rss: int  # KiB resident now
    threads: int
    descriptors: int
    commits: int  # transactions since its start


def usage(root: Path) -> Usage:
    """Return the usage of a workspace's owner."""
    address = read_address(root / ".fabric-jobs")
    assert address is not None
    process = Path(f"/proc/{address.pid}")
    times = (process / "stat").read_text().rpartition(")")[2].split()
    return Usage(
        cpu=(int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
        rss=owner_rss(root),
        threads=len(os.listdir(process / "task")),
        descriptors=len(os.listdir(process / "fd")),
        commits=round(metrics(root)["fabric_jobs_commits_total"]),
    )


def metrics(root: Path) -> dict[str, float]:
    """Return the metrics of a workspace's owner, by name and labels."""
    address = read_address(root / ".fabric-jobs")
    assert address is not None
    connection = Connection(address.socket, address.token)
    lines = connection.request("GET", "/metrics").body.decode().splitlines()
    connection.close()
    rows = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def write_skill(
    root: Path, name: str, program: str, *, receives: str = "message", response: str = "json", **more: object
) -> None:
    """Write a skill whose job runs `program`; `more` adds keys to its action."""
    write_action(root, name, program, {"type": "job", "receives": receives, "response": response, **more})


def write_daemon(root: Path, name: str, program: str, **more: object) -> None:
    """Write a skill whose daemon runs `program`; `more` adds keys to its action."""
    write_action(root, name, program, {"type": "daemon", "port": "5000", **more})


def write_action(root: Path, name: str, program: str, keys: dict[str, object]) -> None:
    """Write a skill with one action."""
    directory = root / "skills" / name
    (directory / "actions" / name).mkdir(parents=True)
    (directory / "actions" / name / "main.py").write_text(program)
    target = {"action": name, "runtime": f"cortex/{keys['type']}s", "output": "response"}
    document = {
        "camel": "1.0.0",
        "name": name,
        "inputs": [{"name": "request", "routing": {"all": target}}],
        "outputs": [{"name": "response"}],
        "actions": [{"name": name, "command": ["python", "main.py"], **keys}],
    }
    (directory / "skill.yaml").write_text(json.dumps(document))  # JSON is YAML


def write_agent(root: Path, name: str, *skills: str) -> None:
    """Write an agent that chains skills."""
    lines = [f"camel: 1.0.0\nname: {name}\nskills:"]
    lines += [f"  - skillName: {skill}" for skill in skills]
    lines.append("mappings:\n  - {from: input, to: " + skills[0] + "}")
    lines += [f"  - {{from: {one}, to: {two}}}" for one, two in itertools.pairwise(skills)]
    lines.append("  - {from: " + skills[-1] + ", to: output}\n")
    (root / "agents").mkdir(exist_ok=True)
    (root / "agents" / f"{name}.yaml").write_text("\n".join(lines))


def environment() -> dict[str, str]:
    """Return the environment for programs that use the runtime layer outside an attempt."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("FABRIC_JOBS", "CORTEX"))}

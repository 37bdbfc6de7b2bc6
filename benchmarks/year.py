"""Seconds for a year of flights through the agent of `fabric-jobs demo`, against the same three programs as a shell pipeline.

The programs are the same files: outside an attempt their records are lines of standard input and output. Ours is durable, the
pipeline is not. The year is the month that is shipped, over and over, up to `--records` flights.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.common import RECORDS_FILE, arguments, environment, measure, owner, report, workspace
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.executors.program import RUNTIME
from fabric_jobs.shipped import examples_dir
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.run import EntryPoint
from fabric_jobs.workspace.tree import Workspace

YEAR = 336_776  # flights that left New York in 2013
PROGRAMS = ("read-flights", "score-delays", "summarise")


def ours(root: Path, gateway: Gateway, target: EntryPoint, answers: list[Any]) -> float:
    """Return the seconds of one activation, and append its answer to `answers`."""
    started = time.perf_counter()
    activation_id = verbs.start(gateway, target, {"payload": {"path": "year.ndjson.gz"}}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    took = time.perf_counter() - started
    activations.check_ended_well(record)
    answers.append(record["response"])
    return took


def pipeline(root: Path, answers: list[Any]) -> float:
    """Return the seconds of the programs joined by pipes, and append the last one's output to `answers`."""
    variables = {**environment(), "PYTHONPATH": str(RUNTIME), "FABRIC_JOBS_WORKSPACE": str(root)}
    message = json.dumps({"payload": {"path": "year.ndjson.gz"}, "properties": {}})
    started = time.perf_counter()
    before, running = None, []
    for name in PROGRAMS:
        program = root / "skills" / name / "actions" / name / "main.py"
        command = [sys.executable, str(program), message]
        process = subprocess.Popen(command, stdin=before, stdout=subprocess.PIPE, env=variables)
        if before is not None:
            before.close()
        before = process.stdout
        running.append(process)
    answers.append(json.loads(running[-1].communicate()[0]))
    if any(process.wait() for process in running):
        raise RuntimeError("a program of the pipeline has failed")
    return time.perf_counter() - started


def write_year(path: Path, records: int) -> None:
    """Write `records` flights."""
    with gzip.open(RECORDS_FILE) as lines, gzip.open(path, "wb", compresslevel=1) as year:
        year.writelines(islice(cycle(list(lines)), records))


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=YEAR)
    with workspace() as root:
        shutil.copytree(examples_dir() / "flights", root, dirs_exist_ok=True)
        write_year(root / "year.ndjson.gz", wanted.records)
        answers: list[Any] = []
        with owner(root) as gateway:
            target = verbs.save_agent(gateway, Workspace(root), "flights", None)
            pairs = measure(wanted.pairs, lambda: ours(root, gateway, target, answers), lambda: pipeline(root, answers))
    if any(answer != answers[0] for answer in answers):
        raise RuntimeError("the agent and the pipeline do not say the same")
    title = f"{wanted.records:,} flights through three skills"
    report(title, "s", pairs, "wanted: at most 1.9 x", as_json=wanted.json, cores=os.cpu_count())


if __name__ == "__main__":
    main()

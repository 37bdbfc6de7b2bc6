"""Bytes per second that a job can print, against the same program printing to a file.

After the pairs the job runs once more: a follower joins when half is printed, and has to read all of it, the same bytes as are
kept; meanwhile the owner's memory is sampled.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

from benchmarks.common import arguments, environment, measure, owner, owner_rss, report, workspace, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.executors.program import RUNTIME
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

PRINTER = """
import os, time
from fabric_skill import message, send_message
left = message()["payload"]["bytes"]
block = b"".join(b"%07d %s\\n" % (number, b"x" * 91) for number in range(655))  # lines of 100 bytes, as stdio writes them
begin = time.monotonic()
while left > 0:
    left -= os.write(1, block[:left])
send_message({"seconds": time.monotonic() - begin})
"""
CHUNK = 1 << 20


class Run:
    """One benchmark run."""

    def __init__(self, root: Path, gateway: Gateway, size: int) -> None:
        self.root = root
        self.gateway = gateway
        self.size = size
        self.memory: list[int] = []  # KiB

    def ours(self) -> float:
        """Return the bytes per second of a job."""
        rate = self._ended(self._start())
        self._clear()
        return rate

    def baseline(self) -> float:
        """Return the bytes per second of the program alone, to a file of the same disk."""
        path = self.root / "baseline"
        program = self.root / "skills" / "printer" / "actions" / "printer" / "main.py"
        with open(path, "ab") as file:
            subprocess.run(
                [sys.executable, program, json.dumps({"payload": {"bytes": self.size}})],
                stdout=file,
                env={**environment(), "PYTHONPATH": str(RUNTIME), "PYTHONUNBUFFERED": "1"},
                check=True,
            )
        with open(path, "rb") as file:
            file.seek(self.size)  # records that the program sends follow the log
            seconds = json.loads(file.read())["seconds"]
        path.unlink()
        return float(self.size / seconds)

    def followed(self) -> None:
        """Run the job again with a late follower. Raise RuntimeError if it reads anything else than the stored log."""
        done = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(done,))
        sampler.start()
        activation_id = self._start()
        log = self._log()
        while log.stat().st_size < self.size // 2:
            time.sleep(0.005)
        command = [sys.executable, "-m", "fabric_jobs", "tasks", "logs", "printer", "--activation", activation_id]
        with subprocess.Popen([*command, "--follow"], cwd=self.root, stdout=subprocess.PIPE) as follower:
            assert follower.stdout is not None
            found = _sum(follower.stdout.fileno())
        self._ended(activation_id)
        done.set()
        sampler.join()
        with open(log, "rb") as file:
            kept = _sum(file.fileno())
        if found != kept or found[0] != self.size or follower.returncode:
            raise RuntimeError(f"the follower read {found}, and {kept} is kept")
        self._clear()

    def _start(self) -> str:
        target = verbs.save_skill(self.gateway, Workspace(self.root), "printer", None)
        return verbs.start(self.gateway, target, {"payload": {"bytes": self.size}}, self.root)

    def _ended(self, activation_id: str) -> float:
        record = activations.follow(self.gateway, activation_id, lambda nodes: 30.0)
        activations.check_ended_well(record)
        return float(self.size / record["response"]["seconds"])

    def _log(self) -> Path:
        while not (found := list((self.root / ".fabric-jobs" / "attempts").glob("*/stdout"))):
            time.sleep(0.005)
        return found[0]

    def _clear(self) -> None:
        for directory in (self.root / ".fabric-jobs" / "attempts").iterdir():
            shutil.rmtree(directory)

    def _sample(self, done: threading.Event) -> None:
        while not done.wait(0.05):
            self.memory.append(owner_rss(self.root))


def _sum(file: int) -> tuple[int, int]:
    """Return length and CRC of a file's content."""
    size = crc = 0
    while chunk := os.read(file, CHUNK):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
    return size, crc


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", bytes=1_000_000_000)
    with workspace() as root:
        write_skill(root, "printer", PRINTER, response="stdout")
        with owner(root) as gateway:
            run = Run(root, gateway, wanted.bytes)
            pairs = measure(wanted.pairs, run.ours, run.baseline)
            before = owner_rss(root)
            run.followed()
            report(
                "logs",
                "bytes/s",
                pairs,
                "wanted >= 0.8",
                as_json=wanted.json,
                bytes=wanted.bytes,
                owner_rss_mib=[round(before / 1024, 1), round(max(run.memory) / 1024, 1)],
            )


if __name__ == "__main__":
    main()

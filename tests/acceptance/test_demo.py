"""The example, as `make demo` runs it."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
from pathlib import Path

from tests.acceptance.live import COMMAND, Live

EXPECTED = json.loads((Path(__file__).parent / "flights_2013_01.json").read_text())
JANUARY = {"path": "data/2013-01.ndjson.gz"}


def test_the_demo_shows_the_flights_of_january(live: Live, tmp_path: Path) -> None:
    place = tmp_path / "a demo"
    ran = live.ok("demo", place, cwd=tmp_path)
    demo = Live(place)
    try:
        table = {line.split()[0]: line.split()[1] for line in ran.out.splitlines() if line.count(" ") > 10}
        for carrier, figures in EXPECTED["carriers"].items():
            assert table[carrier] == f"{figures['delayed']:,}"
        assert "█" in ran.out
        assert f"cd '{place}'" in ran.out

        record = demo.invoke("flights", JANUARY, kind="agents")
        assert record["response"] == EXPECTED
        nodes = demo.progress(record["activationId"])
        assert nodes["read-flights"]["out"] == nodes["score-delays"]["in"] == 27_004
        assert {node["waiting"] for node in nodes.values()} == {0}
        assert demo.ok("workspaces", "lint").err.startswith("No problems")
        assert demo.ok("agents", "test").err.startswith("1 passed in")
        assert demo.ok("skills", "test").err.startswith("3 passed, 1 without expected.json in")

        again = live.ok("demo", place, cwd=tmp_path)
        assert again.out.count("█") == ran.out.count("█")
    finally:
        demo.close()


def test_the_next_commands_of_the_demo_work(live: Live, tmp_path: Path) -> None:
    place = tmp_path / "demo"
    lines = live.ok("demo", place, cwd=tmp_path).out.partition("Next:\n")[2].splitlines()
    demo = Live(place)
    try:
        assert lines[0].strip() == f"cd {place}"
        for line in lines[1:]:
            words = shlex.split(line)
            assert words[0] == "fabric-jobs"
            demo.ok(*words[1:])
    finally:
        demo.close()


def test_a_property_changes_the_threshold(live: Live, tmp_path: Path) -> None:
    live.ok("demo", tmp_path / "demo", cwd=tmp_path)
    demo = Live(tmp_path / "demo")
    try:
        params = {"payload": JANUARY, "properties": {"threshold_minutes": 1e9}}
        record = demo.ok("agents", "invoke", "flights", "--params", json.dumps(params), "-o", "json").value
        assert {figures["delayed"] for figures in record["response"]["carriers"].values()} == {0}
    finally:
        demo.close()


def test_a_bad_path_is_told_by_the_skill_that_met_it(live: Live, tmp_path: Path) -> None:
    live.ok("demo", tmp_path / "demo", cwd=tmp_path)
    demo = Live(tmp_path / "demo")
    try:
        record, said = demo.fail("flights", {"path": "data/nowhere.gz"}, kind="agents")
        assert record["error"]["skill"] == "read-flights"
        assert record["error"]["exitCode"] == 2
        assert "nowhere.gz: No such file or directory" in said
    finally:
        demo.close()


def test_a_terminal_sees_live_progress(live: Live, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    demo = Live(tmp_path / "demo")
    (demo.root / "skills").rmdir()
    demo.root.rmdir()
    try:
        process = subprocess.Popen(
            [COMMAND, "demo", demo.root],
            stdin=slave,
            stdout=subprocess.DEVNULL,
            stderr=slave,
            env=live.environment,
        )
        os.close(slave)
        text = _all_of(master)
        assert process.wait(60) == 0
    finally:
        os.close(master)
        demo.close()
    last = [line.rpartition("\x1b[2K")[2].split() for line in text.splitlines()[-3:]]
    assert [line[:6] for line in last] == [
        ["read-flights", "done", "in", "1", "out", "27,004"],
        ["score-delays", "done", "in", "27,004", "out", "4,346"],
        ["summarise", "done", "in", "4,346", "out", "1"],
    ]
    assert all(line[-1].endswith("/s") for line in last)
    assert "\x1b[3A" in text


def _all_of(master: int) -> str:
    parts = []
    while True:
        try:
            parts.append(os.read(master, 65_536))
        except OSError:  # the other side is closed
            return b"".join(parts).decode()

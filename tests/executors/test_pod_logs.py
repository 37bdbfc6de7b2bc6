"""Following the logs of several pods: nothing is lost or doubled, whatever happens to whoever follows them."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.executors.kubernetes import output
from fabric_jobs.executors.kubernetes.output import DIRECTORY, UNREAD
from fabric_jobs.executors.kubernetes.pod_logs import MOST, PodLogs
from fabric_jobs.kubernetes.failures import Missing
from tests.executors.container_logs import Logs, stamped

TEXTS = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b" ")), max_size=12)


def pod(name: str, *, starts: int = 0, runs: bool = True, phase: str = "Running") -> dict[str, Any]:
    state = {"running": {}} if runs else {"terminated": {"exitCode": 1}}
    status = {"name": "program", "state": state, "restartCount": starts}
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "status": {"phase": phase, "containerStatuses": [status]}}


def follow(directory: Path, cluster: Logs, *pods: dict[str, Any]) -> bytes:
    """Follow pods to their end; return what is there then."""

    async def run() -> None:
        remarks: list[str] = []
        logs = PodLogs(cluster.cluster, directory, remarks.append)
        logs.follow(pods)
        await logs.drained()
        assert remarks == []

    (directory / "stdout").touch()
    asyncio.run(run())
    return (directory / "stdout").read_bytes()


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.data())
def test_whoever_takes_over_goes_on_where_the_last_one_was_killed(texts: list[bytes], data: st.DataObject) -> None:
    lines = [stamped(number, text) for number, text in enumerate(texts)]
    known = data.draw(st.integers(0, len(lines)))
    with tempfile.TemporaryDirectory() as place:
        directory, cluster = Path(place), Logs(a=lines[:known])
        cluster.pieces = data.draw(st.integers(1, 200))
        before = follow(directory, cluster, pod("a"))
        assert before == b"".join(text + b"\n" for text in texts[:known])
        # Killed after it had noted what it was about to write, and before all of that was written.
        last = (directory / DIRECTORY / "uid-a").read_text() if known else "0"
        size = int(last.rpartition(",")[2].strip(" ]"))
        (directory / "stdout").write_bytes(before[: len(before) - data.draw(st.integers(0, size))])
        cluster.lines["a"] = lines
        assert follow(directory, cluster, pod("a")) == b"".join(text + b"\n" for text in texts)


@settings(deadline=None, max_examples=30)
@given(TEXTS, TEXTS)
def test_the_lines_of_several_pods_stay_whole(first: list[bytes], second: list[bytes]) -> None:
    lines = {
        "a": [stamped(number, b"a" + text) for number, text in enumerate(first)],
        "b": [stamped(number, b"b" + text) for number, text in enumerate(second)],
    }
    with tempfile.TemporaryDirectory() as place:
        found = follow(Path(place), Logs(**lines), pod("a"), pod("b")).split(b"\n")[:-1]
    assert [line[1:] for line in found if line[:1] == b"a"] == first
    assert [line[1:] for line in found if line[:1] == b"b"] == second


def test_what_was_printed_before_a_program_was_started_again_is_read_first(tmp_path: Path) -> None:
    cluster = Logs(a=[stamped(9, b"again")])
    cluster.previous["a"] = [stamped(1, b"one"), stamped(2, b"two")]
    assert follow(tmp_path, cluster, pod("a", starts=1)) == b"one\ntwo\nagain\n"
    assert follow(tmp_path, cluster, pod("a", starts=1)) == b"one\ntwo\nagain\n"


def test_a_line_without_an_end_ends_before_that_of_another_pod(tmp_path: Path) -> None:
    assert follow(tmp_path, Logs(a=[stamped(1, b"half")[:-1]]), pod("a")) == b"half"
    assert follow(tmp_path, Logs(b=[stamped(2, b"other")]), pod("b")) == b"half\nother\n"


def test_times_of_a_node_elsewhere_are_compared_in_utc(tmp_path: Path) -> None:
    night = [
        b"2026-10-25T02:59:59.000000001+02:00 summer\n",  # then its clock goes back by an hour
        b"2026-10-25T02:00:00.000000001+01:00 winter\n",
    ]
    assert follow(tmp_path, Logs(a=night), pod("a")) == b"summer\nwinter\n"


def test_only_the_new_lines_are_asked_for(tmp_path: Path) -> None:
    cluster = Logs(a=[stamped(number, b"x") for number in range(9)])
    follow(tmp_path, cluster, pod("a"))
    cluster.asked.clear()
    follow(tmp_path, cluster, pod("a"))
    assert cluster.asked[0]["sinceTime"] == "2026-01-01T00:00:02.000000004Z"


def test_the_output_of_a_limited_number_of_pods_is_followed(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(MOST + 1)]
    cluster = Logs(**{name: [stamped(1, name.encode())] for name in names})
    (tmp_path / "stdout").touch()

    async def run() -> list[bool]:
        logs, found = PodLogs(cluster.cluster, tmp_path, print), []
        for count in (MOST, MOST + 1):
            logs.follow([pod(name) for name in names[:count]])
            found.append(logs.leaves_out)
        await logs.drained()
        return found

    assert asyncio.run(run()) == [False, True]
    assert len((tmp_path / "stdout").read_bytes().splitlines()) == MOST


def test_a_pod_that_a_node_has_left_behind_is_read_once_and_takes_no_room(tmp_path: Path) -> None:
    dead = [pod(f"n{number}", phase="Failed", runs=False) for number in range(MOST)]
    cluster = Logs(**{each["metadata"]["name"]: [stamped(1, b"dead")] for each in dead}, alive=[stamped(1, b"alive")])
    (tmp_path / "stdout").touch()

    async def run() -> None:
        logs = PodLogs(cluster.cluster, tmp_path, print)
        logs.follow(dead)
        while cluster.answered < MOST:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        cluster.asked.clear()
        logs.follow([*dead, pod("alive")])
        await logs.drained()
        assert not logs.leaves_out

    asyncio.run(run())
    assert (tmp_path / "stdout").read_bytes().endswith(b"alive\n")
    assert len(cluster.asked) <= 2  # only that which is alive


def test_a_program_that_has_ended_is_asked_for_nothing_before_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(output, "SELDOM_SECONDS", 0.0)
    cluster = Logs(a=[stamped(1, b"one")])
    (tmp_path / "stdout").touch()

    async def run() -> None:
        logs = PodLogs(cluster.cluster, tmp_path, print)
        logs.follow([pod("a", runs=False)])
        while not cluster.answered:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(cluster.asked) == 1
        cluster.previous["a"], cluster.lines["a"] = cluster.lines["a"], [stamped(5, b"two")]
        logs.follow([pod("a", starts=1)])
        await logs.drained()

    asyncio.run(run())
    assert (tmp_path / "stdout").read_bytes() == b"one\ntwo\n"


def test_the_end_of_a_pod_that_was_not_read_is_said_to_be_cut(tmp_path: Path) -> None:
    cluster = Logs(a=[stamped(1, b"one")])
    cluster.ends = [Missing("it is gone")]
    (tmp_path / "stdout").touch()
    remarks: list[str] = []

    async def run() -> None:
        logs = PodLogs(cluster.cluster, tmp_path, remarks.append)
        logs.follow([pod("a")])
        await cluster.was_asked.wait()
        cluster.ends = [Missing("it is gone")] * 3
        logs.follow([])
        await logs.drained()

    asyncio.run(run())
    assert ((tmp_path / "stdout").read_bytes(), remarks) == (b"one\n", [UNREAD])


def test_what_a_program_printed_before_its_end_is_read_before_its_pod_is_deleted(tmp_path: Path) -> None:
    cluster = Logs(a=[stamped(1, b"one"), stamped(2, b"two")])
    (tmp_path / "stdout").touch()
    remarks: list[str] = []

    async def run() -> None:
        cluster.ends = [asyncio.Event()]  # never: its connection hangs
        logs = PodLogs(cluster.cluster, tmp_path, remarks.append)
        logs.follow([pod("a")])
        while cluster.ends:
            await asyncio.sleep(0)
        cluster.lines["a"].append(stamped(3, b"three"))
        logs.follow([pod("a", runs=False)])
        await logs.catch_up()
        cluster.ends = [Missing("it is gone")] * 9
        await logs.drained()

    asyncio.run(run())
    assert ((tmp_path / "stdout").read_bytes(), remarks) == (b"one\ntwo\nthree\n", [])

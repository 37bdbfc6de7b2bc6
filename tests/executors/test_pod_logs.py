"""Following the logs of several pods: nothing is lost or doubled, whatever happens to whoever follows them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.executors.kubernetes.pod_logs import DIRECTORY, MOST, PodLogs
from fabric_jobs.kubernetes.cluster import Cluster

TEXTS = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b" ")), max_size=12)


def stamped(number: int, text: bytes, *, zone: str = "Z") -> bytes:
    """Return a line as the cluster gives it; two lines after one another have the same time."""
    return b"2026-01-01T00:00:%02d.%09d%s %s\n" % (number // 4, number // 2, zone.encode(), text)


def pod(name: str, *, starts: int = 0) -> dict[str, Any]:
    status = {"name": "program", "state": {"running": {}}, "restartCount": starts}
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "status": {"containerStatuses": [status]}}


class Logs:
    """The logs of pods, as a cluster has them."""

    def __init__(self, **lines: list[bytes]) -> None:
        self.lines = lines
        self.previous: dict[str, list[bytes]] = {}
        self.pauses = 3  # lines that arrive together
        self.asked: list[dict[str, str]] = []

    async def log(self, name: str, container: str, *, follow: bool, **options: str) -> AsyncIterator[bytes]:
        assert container == "program"
        self.asked.append(options)
        found = self.previous[name] if "previous" in options else self.lines[name]
        for number, line in enumerate(found):
            if number % self.pauses == 0:
                await asyncio.sleep(0)
            if line.partition(b" ")[0][:19].decode() >= options.get("sinceTime", "")[:19]:
                yield line


def follow(directory: Path, cluster: Logs, *pods: dict[str, Any]) -> bytes:
    """Follow pods to their end; return what is there then."""

    async def run() -> None:
        logs = PodLogs(cast(Cluster, cluster), directory)
        logs.follow(pods)
        await logs.drained()

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
        cluster.pauses = data.draw(st.integers(1, 5))
        before = follow(directory, cluster, pod("a"))
        assert before == b"".join(text + b"\n" for text in texts[:known])
        # Killed after it had noted what it was about to write, and before all of that was written.
        last = (directory / DIRECTORY / "uid-a").read_text() if known else "[0, 0, 0, 0]"
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


def test_words_of_the_cluster_are_not_output(tmp_path: Path) -> None:
    lines = [stamped(1, b"one"), b"unable to retrieve container logs for containerd://0", stamped(2, b"two")]
    assert follow(tmp_path, Logs(a=lines), pod("a")) == b"one\ntwo\n"


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
    assert cluster.asked[0] == {"timestamps": "true", "sinceTime": "2026-01-01T00:00:02.000000004Z"}


def test_the_output_of_a_limited_number_of_pods_is_followed(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(MOST + 5)]
    cluster = Logs(**{name: [stamped(1, name.encode())] for name in names})
    assert len(follow(tmp_path, cluster, *map(pod, names)).splitlines()) == MOST

"""The informer, against an API server that forgets, refuses, and goes away."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fabric_jobs.kubernetes import cluster, informer, session
from fabric_jobs.kubernetes.cluster import Cluster, Object, Where
from fabric_jobs.kubernetes.informer import Informer
from fabric_jobs.kubernetes.loop import CallLoop
from tests.acceptance.live import until
from tests.kubernetes_api import server as api_server
from tests.kubernetes_api.objects import Refused
from tests.kubernetes_api.server import Running, Server, serving
from tests.tcp_proxy import TcpProxy

LABELS = {"labels": {"of": "this-test"}}


class Followed:
    """Pods that an informer follows, and what it told of them."""

    def __init__(self, api: Running, directory: Path) -> None:
        self.api = api
        self.proxy = TcpProxy(lambda: socket.create_connection(("127.0.0.1", api.server.port)))
        self.file = api.kubeconfig(directory / "kubeconfig", f"http://127.0.0.1:{self.proxy.port}")
        self.told: list[tuple[str, bool]] = []
        self.unwanted: set[str] = set()  # names that cannot be taken
        self.cluster = Cluster(Where(context="", namespace="default"))
        self.informer = Informer(self.cluster, "configmaps", "of=this-test", self._tell)
        self._loop = CallLoop("test")

    def start(self) -> None:
        """Follow."""
        self._loop.post(lambda: asyncio.ensure_future(self._run()))

    def begin(self) -> None:
        """Follow, until it has listed what there is."""
        self.start()
        until(lambda: self.informer.is_synced.is_set(), "it has listed what there is")

    def create(self, name: str) -> None:
        """Make an object."""
        self.api.call(lambda server: server.objects.create("configmaps", "default", _object(name)))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self.api.call(lambda server: server.objects.delete("configmaps", "default", name))

    def knows(self, *names: str) -> bool:
        """Return whether it knows these objects, and no others."""
        return set(self.informer.found) == set(names)

    def asked(self, verb: str) -> int:
        """Return how often something was asked for."""
        return self.api.call(lambda server: server.asked[f"{verb} configmaps"])

    def close(self) -> None:
        """End everything."""
        self._loop.close(self.cluster.close)
        self.proxy.close()

    async def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            await self.informer.run()

    def _tell(self, found: Object, is_there: bool) -> None:
        if found["metadata"]["name"] in self.unwanted:
            raise KeyError("a label")
        self.told.append((found["metadata"]["name"], is_there))


def _object(name: str) -> Object:
    return {"metadata": {"name": name, **LABELS}}


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    monkeypatch.setattr(informer, "AGAIN_SECONDS", (0.02,))
    with serving() as api:
        made = Followed(api, tmp_path)
        monkeypatch.setenv("KUBECONFIG", str(made.file))
        yield made
        made.close()


def test_it_knows_what_there_was_and_hears_what_changes(followed: Followed) -> None:
    followed.create("before")
    followed.api.call(lambda server: server.objects.create("configmaps", "default", {"metadata": {"name": "other"}}))
    followed.begin()
    assert followed.knows("before")
    followed.create("after")
    until(lambda: followed.knows("before", "after"), "it hears of it")
    followed.delete("before")
    until(lambda: followed.knows("after"), "it hears of the end")
    assert followed.told == [("before", True), ("after", True), ("before", False)]
    assert (followed.asked("list"), followed.asked("watch")) == (1, 1)


def test_forgotten_history_is_listed_again_and_no_end_is_missed(followed: Followed) -> None:
    followed.create("one")
    followed.create("two")
    followed.begin()
    followed.proxy.away()
    followed.delete("one")
    followed.create("three")
    followed.api.call(lambda server: server.objects.forget())
    followed.proxy.back()
    until(lambda: followed.knows("two", "three"), "it has listed again")
    assert ("one", False) in followed.told
    assert followed.asked("list") == 2


def test_it_goes_on_from_a_bookmark_after_others_have_changed(followed: Followed) -> None:
    followed.begin()

    def change_others(server: Server) -> None:
        for number in range(50):
            server.objects.create("secrets", "default", {"metadata": {"name": f"other-{number}"}})

    followed.api.call(change_others)
    until(lambda: followed.api.server.watched > 0, "a bookmark was sent")
    followed.api.call(lambda server: server.objects.forget())
    followed.proxy.cut()
    until(lambda: followed.asked("watch") == 2, "it has asked again")
    followed.create("one")
    until(lambda: followed.knows("one"), "it hears of it")
    assert followed.asked("list") == 1


def test_a_watch_that_ends_is_asked_for_again_without_a_list(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "WATCH_SECONDS", 1.0)
    followed.begin()
    until(lambda: followed.asked("watch") >= 2, "it has asked again")
    followed.create("one")
    until(lambda: followed.knows("one"), "it hears of it")
    assert followed.asked("list") == 1
    assert followed.informer.trouble is None


def test_everything_is_listed_again_from_time_to_time(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "WATCH_SECONDS", 1.0)
    monkeypatch.setattr(informer, "RESYNC_SECONDS", 0.5)
    followed.begin()
    until(lambda: followed.asked("list") >= 2, "it has listed again")


def test_trouble_is_told_while_the_server_is_away_and_over_once_it_is_back(followed: Followed) -> None:
    followed.begin()
    followed.proxy.away()
    until(lambda: followed.informer.trouble is not None, "it says so")
    followed.create("meanwhile")
    followed.proxy.back()
    until(lambda: followed.knows("meanwhile"), "it hears of it")
    until(lambda: followed.informer.trouble is None, "the trouble is over")


def test_a_server_that_has_too_much_to_do_is_asked_again(followed: Followed) -> None:
    busy = Refused(429, "TooManyRequests", "the server has too many requests; try again later")
    followed.api.faults.refusals += [busy, busy]
    followed.create("one")
    followed.begin()
    assert followed.knows("one")


def test_a_slow_answer_is_waited_for(followed: Followed) -> None:
    followed.api.faults.delay = 0.3
    followed.create("one")
    followed.begin()
    assert followed.knows("one")
    assert followed.informer.trouble is None


def test_a_missing_right_is_named(followed: Followed) -> None:
    followed.api.faults.denied.add(("list", "configmaps"))
    followed.start()
    until(lambda: followed.informer.trouble is not None, "it says so")
    assert 'cannot list resource "configmaps"' in str(followed.informer.trouble)


@pytest.mark.parametrize("question", ["list configmaps", "watch configmaps"])
@pytest.mark.parametrize("text", [b"<html>a proxy's page</html>", b"[]", b"{}", b'{"type": "ADDED", "object": {}}'])
def test_an_answer_that_makes_no_sense_is_told_and_asked_for_again(
    followed: Followed, question: str, text: bytes
) -> None:
    followed.create("one")
    followed.api.faults.scripted[question] = [text] * 1000
    followed.start()
    until(lambda: followed.informer.trouble is not None, "it says so")
    followed.api.faults.scripted.clear()
    until(lambda: followed.knows("one") and followed.informer.trouble is None, "the trouble is over")


def test_a_rejection_is_told_in_the_words_of_the_cluster(followed: Followed) -> None:
    followed.api.faults.refusals += [Refused(400, "BadRequest", "no such selector")] * 1000
    followed.start()
    until(lambda: followed.informer.trouble is not None, "it says so")
    assert "no such selector" in str(followed.informer.trouble)
    followed.api.faults.refusals.clear()
    until(lambda: followed.informer.is_synced.is_set(), "it goes on")


def test_a_kind_that_the_cluster_does_not_know_is_told_and_not_asked_for_at_full_speed(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "AGAIN_SECONDS", (60.0,))
    followed.api.faults.refusals += [Refused(404, "NotFound", "no such resource")] * 1000
    followed.start()
    until(lambda: followed.informer.trouble is not None, "it says so")
    assert "the cluster does not list configmaps: no such resource" in str(followed.informer.trouble)
    assert followed.asked("list") == 1


def test_watches_that_end_at_once_are_not_asked_for_at_full_speed(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "AGAIN_SECONDS", (0.2,))
    followed.api.faults.scripted["watch configmaps"] = [b""] * 5
    began = time.monotonic()
    followed.begin()
    until(lambda: followed.asked("watch") == 6, "it has asked again and again")
    assert time.monotonic() - began >= 5 * 0.2


def test_an_object_that_cannot_be_taken_keeps_no_other_one_from_being_told(followed: Followed) -> None:
    followed.unwanted.add("bad")
    followed.create("bad")
    followed.create("good")
    followed.begin()
    assert followed.told == [("good", True)]
    followed.delete("bad")
    followed.create("later")
    until(lambda: ("later", True) in followed.told, "it hears of it")
    assert followed.asked("list") == 1


def test_a_server_that_does_not_answer_in_time_is_told(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SECONDS", 0.1)  # longer than the pauses
    followed.begin()
    until(lambda: followed.asked("watch") == 1, "it watches")
    monkeypatch.setattr(informer, "RESYNC_SECONDS", 0.0)
    followed.api.faults.delay = 30.0
    followed.proxy.cut()
    until(lambda: followed.informer.trouble is not None, "it says so")


def test_a_watch_that_says_nothing_for_too_long_is_asked_for_again(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(api_server, "BOOKMARK_SECONDS", 60.0)
    followed.begin()
    until(lambda: followed.asked("watch") >= 2, "it has asked again")

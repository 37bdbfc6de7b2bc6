"""Output on its way from a pod, in process, to a real server: when it counts as sent, and how long that is tried."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fabric_jobs.executors.base import STREAMS
from fabric_jobs.runtime.fabric_pod import shipping
from fabric_jobs.runtime.fabric_pod.gateway import OVER, Gateway
from fabric_jobs.runtime.fabric_pod.orders import PoolGateway
from fabric_jobs.runtime.fabric_pod.output import Output
from fabric_jobs.runtime.fabric_pod.shipping import Shipper
from fabric_jobs.runtime.fabric_skill.http import Answer
from tests.acceptance.live import until
from tests.pods import ATTEMPT, Taker, a_taker

if TYPE_CHECKING:
    from typing import BinaryIO

PATIENCE = 0.1


@pytest.fixture
def taker(tmp_path: Path) -> Iterator[Taker]:
    with a_taker(tmp_path) as made:
        yield made


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    made = Output(str(tmp_path / "work"))
    yield made
    made.close()


def gateway(taker: Taker) -> Gateway:
    return Gateway({"attempt": ATTEMPT, "gateway": taker.url, "token": "a.b.c", "patience": PATIENCE})


def sent(taker: Taker, output: Output) -> Shipper:
    """Send a line of each stream."""
    shipper = Shipper(gateway(taker), output)
    for file in output.files:
        os.write(file, b"one\n")
    shipper.wake()
    until(lambda: shipper._sent == [4, 4], "both have arrived")
    return shipper


@pytest.mark.parametrize(("code", "told"), [(0, OVER), (3, 3)])
def test_a_success_counts_only_with_all_of_its_output(
    taker: Taker, output: Output, capfd: pytest.CaptureFixture[str], code: int, told: int
) -> None:
    shipper = sent(taker, output)
    taker.stop()
    os.write(output.files[0], b"two\n")
    assert shipper.finish(code, 0.0) == told
    assert (shipping.AGAIN in capfd.readouterr().err) == (code == 0)


@pytest.mark.parametrize(("code", "seconds"), [(0, 1000.0), (3, PATIENCE)])
def test_the_output_of_a_success_is_worth_the_time_that_it_took(
    taker: Taker, output: Output, code: int, seconds: float
) -> None:
    found = gateway(taker)
    assert Shipper(found, output).finish(code, 1000.0) == code
    assert found.gives_up_at - time.monotonic() == pytest.approx(seconds, abs=60)


@pytest.mark.parametrize("lost", [("stdout",), ("stderr",), STREAMS])
def test_what_a_gateway_loses_with_its_power_after_all_was_sent(
    taker: Taker, output: Output, lost: tuple[str, ...]
) -> None:
    shipper = sent(taker, output)
    for stream in lost:
        os.truncate(taker.directory / stream, 1)
    assert shipper.finish(0, 0.0) == 0
    assert taker.taken() == (b"one\n", b"one\n")
    assert taker.is_whole


def test_a_success_whose_output_nobody_has_any_more_is_none(taker: Taker, output: Output) -> None:
    shipper = sent(taker, output)
    shipper._freed[0] = 4
    os.truncate(taker.directory / "stdout", 1)
    assert shipper.finish(0, 0.0) == OVER
    assert not taker.is_whole


def test_a_quiet_program_has_no_connection(taker: Taker, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "IDLE_SECONDS", 0.01)
    shipper = sent(taker, output)
    until(lambda: not taker.connections, "it is closed")
    os.write(output.files[0], b"two\n")
    shipper.wake()
    taker.arrives(b"one\ntwo\n", b"one\n")
    assert shipper.finish(0, 0.0) == 0


class Asked(PoolGateway):
    """Notes for how long it would try."""

    left = 0.0

    def ask(self, method: str, target: str, body: bytes = b"", into: BinaryIO | None = None) -> Answer:
        self.left = self.gives_up_at - time.monotonic()
        return Answer(200, {}, b"{}")


@pytest.mark.parametrize(("ran", "left"), [(1.0, 300.0), (4000.0, 4000.0)])
def test_an_end_is_reported_for_as_long_as_the_attempt_took(ran: float, left: float) -> None:
    order: dict[str, Any] = {"pool": "p", "pod": "fj-1", "gateway": "http://127.0.0.1:9", "token": "t"}
    pool = Asked({**order, "idle": 5.0, "patience": 300.0})
    pool.call("ended", ran, attempt="a-1", code=0)
    assert pool.left == pytest.approx(left, abs=60)

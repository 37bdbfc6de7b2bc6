"""Several workers on one stream: each takes shares of the records in order, whatever happens to the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.live import Live, until

COUNT = "for n in range(message()['payload']): send_message(n)"
WORKER = "os.environ['FABRIC_JOBS_ATTEMPT']"  # programs in containers may have the same pid
PASS = f"for n in messages(): send_message([n, {WORKER}])"


@pytest.fixture(autouse=True)
def _warm(live: Live) -> None:
    live.warm = True


def shared(live: Live, program: str = PASS, source: str = COUNT, **action: Any) -> None:
    live.skill("source", source)
    live.skill("each", program, receives="stream", **{"workers": 3, **action})
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))


def by_worker(response: list[tuple[int, str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for n, worker in response:
        found.setdefault(worker, []).append(n)
    return found


def test_workers_share_a_stream_and_each_gets_its_records_in_order(live: Live) -> None:
    """Each waits at its first record until all three have one: so all of them work at the same time."""
    program = f"""
        for index, n in enumerate(messages()):
            if index == 0:
                Path(ROOT, "at-" + {WORKER}).touch()
                while len(list(ROOT.glob("at-*"))) < 3:
                    pass
            send_message([n, {WORKER}])
    """
    shared(live, program)
    response = live.invoke("line", 300, kind="agents")["response"]
    found = by_worker(response)
    assert sorted(n for n, _ in response) == list(range(300))
    assert len(found) == 3
    assert all(numbers == sorted(numbers) for numbers in found.values())


@pytest.mark.parametrize("death", ["sys.exit(1)", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_what_a_dead_worker_had_is_done_and_nothing_twice(live: Live, death: str) -> None:
    program = f"""
        for n in messages():
            if n in (5, 120) and not (ROOT / f"died-{{n}}").exists():
                (ROOT / f"died-{{n}}").touch()
                {death}
            send_message([n, os.getpid()])
    """
    shared(live, program, retries={"limit": 3, "backoff_seconds": 0})
    record = live.invoke("line", 200, kind="agents")
    assert sorted(n for n, _ in record["response"]) == list(range(200))
    assert "Nothing is wrong" in live.ok("state", "check").err


def test_a_bad_record_is_passed_over_by_whichever_worker_has_it(live: Live) -> None:
    program = "for n in messages():\n    if n % 50 == 7: raise ValueError('bad')\n    send_message([n, 0])"
    shared(live, program, onError="continue")
    record = live.run("agents", "invoke", "line", "--payload", 200, "-o", "json").value
    assert sorted(n for n, _ in record["response"]) == [n for n in range(200) if n % 50 != 7]
    assert record["error"]["deadLetters"] == 4


def test_aggregators_see_every_record_once_between_them(live: Live) -> None:
    shared(live, "print(json.dumps(list(messages(acknowledge='end'))))", response="json")
    response = live.invoke("line", 100, kind="agents")["response"]
    assert len(response) == 3
    assert sorted(n for part in response for n in part) == list(range(100))


def test_a_worker_that_stops_reading_gives_back_what_it_has_not_read(live: Live) -> None:
    """One worker leaves after its first record; the other ones do the rest."""
    program = """
        for n in messages():
            send_message([n, os.getpid()])
            try:
                (ROOT / "left").touch(exist_ok=False)
            except FileExistsError:
                continue
            break
    """
    shared(live, program, workers=2)
    response = live.invoke("line", 50, kind="agents")["response"]
    assert sorted(n for n, _ in response) == list(range(50))


def test_workers_go_on_when_their_owner_is_killed(live: Live) -> None:
    program = """
        for n in messages():
            if n == 10:
                (ROOT / "here").touch()
                open(ROOT / "gate").read()
            send_message([n, os.getpid()])
    """
    shared(live, program)
    gate = live.gate("gate")
    activation = live.detach("line", 100, kind="agents")
    until((live.root / "here").exists, "record 10")
    live.kill_owner()
    live.release(gate)
    response = live.wait(activation)["response"]
    assert sorted(n for n, _ in response) == list(range(100))
    assert "Nothing is wrong" in live.ok("state", "check").err

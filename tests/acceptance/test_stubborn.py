"""Misbehaving programs: they are reported truthfully, and nobody else waits for them."""

from __future__ import annotations

import pytest

from tests.acceptance.live import Live, until

COUNT = "for n in range(message()['payload']): send_message(n)"
CREDIT = 65_536
WINDOW = (4 << 20) // 64  # the most records that one commit can hold


def state_of(live: Live, skill: str) -> str:
    tasks = live.get(f"/tasks?skillName={skill}")["tasks"]
    return str(tasks[0]["state"]) if tasks else ""


def test_a_consumer_that_acknowledges_nothing_holds_up_its_own_sender_only(live: Live) -> None:
    """It never finishes its first record: its sender stops at the end of the credit, and all others go on."""
    live.skill("source", COUNT)
    live.skill("keeps", "for n in messages(): open(ROOT / 'gate').read()", receives="stream")
    live.skill("reads", "for n in messages(): send_message(n)", receives="stream")
    live.agent("held", ("input", "source"), ("source", "keeps"), ("keeps", "output"))
    live.agent("free", ("input", "source"), ("source", "reads"), ("reads", "output"))
    live.gate("gate")

    held = live.detach("held", 1_000_000, kind="agents")
    until(lambda: live.progress(held)["source"]["out"] >= CREDIT, "the whole credit is used")
    assert live.invoke("free", 5_000, kind="agents")["response"]["count"] == 5_000
    progress = live.progress(held)
    assert progress["keeps"]["waiting"] == progress["source"]["out"]  # nothing is acknowledged
    assert progress["source"]["out"] <= CREDIT + WINDOW  # at most one more commit
    assert (progress["source"]["tasks"], progress["keeps"]["tasks"]) == ({"ACTIVE": 1}, {"ACTIVE": 1})

    live.ok("activations", "cancel", held)
    assert live.wait(held)["status"] == "CANCELLED"
    until(lambda: state_of(live, "keeps") == "CANCELLED", "the consumer is stopped")
    until(lambda: live.progress(held)["source"]["tasks"] == {"CANCELLED": 1}, "the sender is stopped")


@pytest.mark.parametrize(("code", "status"), [(0, "COMPLETE"), (6, "ERROR")])
def test_a_job_runs_until_it_ends_though_it_has_closed_its_streams(live: Live, code: int, status: str) -> None:
    program = f"print('bye', flush=True)\nfor n in (0, 1, 2): os.close(n)\nopen(ROOT / 'gate').read()\nos._exit({code})"
    live.skill("closes", program)
    gate = live.gate("gate")
    activation = live.detach("closes")
    until(lambda: state_of(live, "closes") == "ACTIVE" and "bye" in _log(live), "it has closed its streams")
    assert live.get(f"/activations/{activation}")["status"] == "PENDING"
    live.release(gate)
    record = live.wait(activation)
    assert record["status"] == status
    if code:
        assert record["error"]["exitCode"] == code
    else:
        assert record["response"] == "bye\n"


def test_what_a_child_says_after_its_job_has_ended_counts_for_nothing(live: Live) -> None:
    program = """
        if os.fork() == 0:
            os.setsid()
            open(ROOT / "gate").read()
            os.write(1, b"late\\n")
            (ROOT / "said").touch()
            os._exit(9)
        print("early")
    """
    live.skill("leaves", program)
    gate = live.gate("gate")
    record = live.invoke("leaves")
    assert (record["status"], record["response"]) == ("COMPLETE", "early\n")
    live.release(gate)  # so the child lives still
    until((live.root / "said").exists, "the child has spoken")
    again = live.ok("activations", "show", record["activationId"], "-o", "json").value
    assert (again["status"], again["response"]) == ("COMPLETE", "early\n")
    assert state_of(live, "leaves") == "COMPLETE"


def test_the_next_attempt_does_not_meet_what_the_last_one_has_started(live: Live) -> None:
    """A shell that fails leaves a child in its own session, which ignores requests to end."""
    program = """
        import signal, time
        place = ROOT / "child"
        if place.exists():
            found = Path(f"/proc/{place.read_text()}/stat")
            print(found.exists() and found.read_text().rpartition(")")[2].split()[0] != "Z", end="")
            sys.exit(0)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(write, b"!")
            time.sleep(1000)
        os.read(read, 1)
        place.write_text(str(child))
        sys.exit(1)
    """
    live.skill("fails", program, retries={"limit": 1, "backoff_seconds": 0})
    assert live.invoke("fails")["response"] == "False"


def test_what_a_job_leaves_running_on_purpose_is_told(live: Live) -> None:
    program = """
        if os.fork() == 0:
            os.setsid()
            open(ROOT / "gate").read()
            os._exit(0)
    """
    live.skill("starts", program)
    gate = live.gate("gate")
    ran = live.ok("skills", "invoke", "starts", "--payload", "1")
    live.release(gate)  # so the child lives still
    assert "left these processes running: python main.py (process " in ran.err
    (task,) = live.get("/tasks?skillName=starts")["tasks"]
    (remark,) = live.get(f"/tasks/{task['name']}")["task"]["remarks"]
    assert remark in ran.err


def _log(live: Live) -> str:
    (task,) = live.get("/tasks?skillName=closes")["tasks"]
    return str(live.get(f"/tasks/{task['name']}/logs")["logs"])

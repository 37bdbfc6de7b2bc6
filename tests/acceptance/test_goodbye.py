"""Exit 0 is a success only when nothing that the program sent can be lost."""

from __future__ import annotations

import pytest

from tests.acceptance.live import Live, is_alive, until

SENDS = "for n in range(500): send_message(n)\n"
CHILD = """
ready, gate = os.pipe(), os.pipe()
if os.fork() == 0:
    send_message(1), send_message(2)
    (ROOT / "child").write_text(str(os.getpid()))
    os.write(ready[1], b"1")
    os.read(gate[0], 1)  # it would send more
os.read(ready[0], 1)
"""


@pytest.fixture(autouse=True, params=[False, True], ids=["cold", "warm"])
def _warm(request: pytest.FixtureRequest, live: Live) -> None:
    live.warm = request.param


@pytest.mark.parametrize("end", ["os._exit(0)", "os.execlp('true', 'true')"])
def test_a_program_that_skips_its_goodbye_fails(live: Live, end: str) -> None:
    live.skill("gone", SENDS + end)
    record, said = live.fail("gone")
    assert record["error"]["exitCode"] == 0
    assert "records may have been lost" in said
    live.skill("gone", f"{SENDS}flush()\n{end}")
    assert live.invoke("gone")["response"] == list(range(500))


def test_a_program_fails_when_a_child_still_sends_for_it(live: Live) -> None:
    live.skill("parent", CHILD)
    _, said = live.fail("parent")
    assert "records may have been lost" in said
    child = int((live.root / "child").read_text())
    until(lambda: not is_alive(child), "nothing of it lives on")


def test_the_next_program_that_sends_is_refused_before_the_first_has_said_goodbye(live: Live) -> None:
    live.skill(
        "execs",
        f"{SENDS}if len(sys.argv) < 9: os.execv(sys.executable, [sys.executable, *sys.argv[:1], *'1234567', sys.argv[-1]])",
    )
    _, said = live.fail("execs")
    assert "was replaced before it called flush()" in said


def test_processes_that_send_one_after_the_other_lose_nothing(live: Live) -> None:
    program = "import subprocess\nif len(sys.argv) < 3:\n"
    program += "    for n in '12': subprocess.run([sys.executable, 'main.py', n, sys.argv[-1]], check=True)\n"
    program += "else:\n    for n in range(100): send_message([sys.argv[1], n])\n"
    live.skill("turns", program)
    assert live.invoke("turns")["response"] == [[who, n] for who in "12" for n in range(100)]


def test_a_stream_that_ends_in_the_middle_passes_on_no_part(live: Live) -> None:
    live.skill("source", SENDS)
    live.skill("part", "for n in messages():\n    send_message(n)\n    if n == 100: os._exit(0)", receives="stream")
    live.agent("pair", ("input", "source"), ("source", "part"), ("part", "output"))
    record, said = live.fail("pair", kind="agents")
    assert record["error"]["skill"] == "part"
    assert "records may have been lost" in said


@pytest.mark.parametrize("acknowledge", ["record", "end"])
def test_messages_in_a_program_that_is_no_stream_names_the_missing_line(live: Live, acknowledge: str) -> None:
    live.skill("source", "for n in range(50): send_message(n)")
    live.skill("even", f"for n in messages('{acknowledge}'): send_message(n)", workers=1)
    live.agent("pair", ("input", "source"), ("source", "even"), ("even", "output"))
    record, said = live.fail("pair", kind="agents")
    assert record["error"]["record"]["offset"] == 0
    assert "Write 'receives: stream' under action 'even' in skill.yaml" in said
    assert live.ok("state", "check")

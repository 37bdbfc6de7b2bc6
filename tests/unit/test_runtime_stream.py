"""`messages`, `send_message` and `flush`, as real programs use them against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from fabric_jobs.runtime.fabric_skill.pile import Progress
from fabric_jobs.store.sent import count_of, parents_of
from tests.small_gateway import SmallGateway, ends, go_on, says

IMPORT = "from fabric_skill import flush, logger, message, messages, send_message\n"
WAIT = "sys.stdin.readline()\n"
OPEN = "send_message(0)\nsend_message(1)\n"  # what follows is sent while the program works
ECHO = f"{IMPORT}for record in messages():\n    send_message(record)\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SmallGateway]:
    made = SmallGateway(tmp_path)
    yield made
    made.close()


def numbered(gateway: SmallGateway) -> list[int]:
    return [told.head["sequence"] for told in gateway.state.told]


# Sending


def test_what_is_sent_is_stored_before_the_program_ends(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}for n in range(5): send_message({{'n': n}})"))
    assert gateway.state.records() == [{"n": n} for n in range(5)]
    assert numbered(gateway) == list(range(1, len(gateway.state.told) + 1))
    assert gateway.state.paths == {"/px/internal/attempts/7-2/commit"}
    assert gateway.state.tokens == {"Bearer a.b.c"}


def test_each_record_goes_to_the_output_that_it_names(gateway: SmallGateway) -> None:
    code = "send_message(1)\nsend_message(2, 'errors')\nsend_message(3, output_name='out')\n"
    ends(gateway.run(IMPORT + code))
    assert (gateway.state.records("out"), gateway.state.records("errors")) == ([1, 3], [2])


def test_what_gathers_while_one_commit_is_under_way_is_the_next_commit(gateway: SmallGateway) -> None:
    code = f"{OPEN}{WAIT}send_message(2)\n{WAIT}for n in range(3, 501): send_message(n)\nprint('sent')\n"
    program = gateway.run(IMPORT + code)
    holds_from_now_on(gateway, program)
    go_on(program)
    says(program, "sent")
    gateway.state.set(hold=False)
    ends(program)
    commits = [told.records() for told in gateway.state.told if not told.is_goodbye]
    assert commits == [[0], [1], [2], list(range(3, 501))]


def holds_from_now_on(gateway: SmallGateway, program: Popen[str]) -> None:
    """Stop answering commits, from that of a program's third record on."""
    gateway.state.until(lambda: len(gateway.state.told) == 2)
    gateway.state.set(hold=True)
    go_on(program)
    gateway.state.until(lambda: gateway.state.arrived == 3)


def test_a_sender_waits_when_so_many_records_are_under_way(gateway: SmallGateway) -> None:
    """Even short ones: each counts 64 bytes more."""
    code = f"{OPEN}{WAIT}send_message(2)\n{WAIT}"
    code += "for n in range(3, 80_000):\n    if n == 59_000: print('full')\n    send_message(n)\n"
    program = gateway.run(IMPORT + code)
    holds_from_now_on(gateway, program)
    go_on(program)
    says(program, "full")
    gateway.state.set(hold=False)
    ends(program)
    assert gateway.state.records() == list(range(80_000))
    sent = [len(told.records()) for told in gateway.state.told[2:4]]
    assert sent[0] == 1
    assert sent[1] * 69 < (4 << 20) + (64 << 10)


def test_a_sender_waits_when_so_many_bytes_are_under_way(gateway: SmallGateway) -> None:
    code = f"{OPEN}text = 'x' * 300_000\n{WAIT}send_message(text)\n{WAIT}"
    code += "for n in range(20):\n    if n == 12: print('full')\n    send_message(text)\n"
    program = gateway.run(IMPORT + code)
    holds_from_now_on(gateway, program)
    go_on(program)
    says(program, "full")
    gateway.state.set(hold=False)
    ends(program)
    assert [len(told.records()) for told in gateway.state.told[2:4]] == [1, 12]
    assert len(gateway.state.records()) == 2 + 21


def test_one_record_larger_than_the_window_goes_through(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}for n in range(3): send_message('x' * 3_000_000)"))
    assert [len(record) for record in gateway.state.records()] == [3_000_000] * 3


@pytest.mark.parametrize("call", ["send_message(1, wait=True)", "send_message(1)\nflush()"])
def test_who_waits_goes_on_when_it_is_stored(gateway: SmallGateway, call: str) -> None:
    gateway.state.set(lose="before")  # the program tries twice
    program = gateway.run(f"{IMPORT}{call}\nprint('stored')\n{WAIT}")
    says(program, "stored")
    assert gateway.state.records() == [1]
    go_on(program)
    ends(program)


def test_a_flush_of_nothing_returns(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}flush()\nsend_message(1)\nflush()\nflush()"))
    assert gateway.state.records() == [1]


def test_many_threads_may_send(gateway: SmallGateway) -> None:
    code = """
from threading import Thread
threads = [Thread(target=lambda: [send_message(n) for n in range(1000)]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    ends(gateway.run(IMPORT + code))
    assert sorted(gateway.state.records()) == sorted(list(range(1000)) * 4)


# Receiving


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
def test_every_record_comes_once_and_in_order(gateway: SmallGateway, chunk: int) -> None:
    gateway.state.set(inputs={5: list(range(20))}, chunk=chunk)
    ends(gateway.run(ECHO))
    assert gateway.state.records() == list(range(20))
    assert gateway.state.acked == {5: 20}


def test_outputs_and_acknowledgement_of_a_record_are_in_one_commit(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(300))}, chunk=11)
    code = "for record in messages():\n    send_message(record)\n    send_message(record, 'second')\n"
    ends(gateway.run(IMPORT + code))
    for told in gateway.state.told:
        if told.is_goodbye:
            continue
        assert told.head["hand"] is None
        ((_, first, after),) = told.acks
        assert told.records() == told.records("second") == list(range(first, after))
    assert gateway.state.acked == {5: 300}


def test_a_record_arrives_when_it_comes_and_not_when_the_input_ends(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [1]}, ended=False)
    program = gateway.run(ECHO)
    gateway.state.until(lambda: gateway.state.records() == [1])
    gateway.state.set(inputs={5: [1, 2]})
    gateway.state.until(lambda: gateway.state.records() == [1, 2])
    gateway.state.set(ended=True)
    ends(program)


def test_an_input_without_records_ends_at_once(gateway: SmallGateway) -> None:
    ends(gateway.run(ECHO))
    assert [told.is_goodbye for told in gateway.state.told] == [True]


def test_a_record_that_causes_nothing_is_acknowledged_soon(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [1, 2, 3]}, ended=False)
    program = gateway.run(f"{IMPORT}for record in messages(): pass")
    gateway.state.until(lambda: gateway.state.acked == {5: 3})
    assert gateway.state.records() == []
    gateway.state.set(ended=True)
    ends(program)


def test_several_inputs_are_acknowledged_each(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(50)), 6: list(range(100, 170)), 9: []}, chunk=3)
    ends(gateway.run(ECHO))
    assert sorted(gateway.state.records()) == [*range(50), *range(100, 170)]
    assert gateway.state.acked == {5: 50, 6: 70}


def test_a_program_that_stops_reading_leaves_the_rest_unacknowledged(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(10))})
    ends(gateway.run(f"{IMPORT}for record in messages():\n    send_message(record)\n    if record == 3: break"))
    assert gateway.state.records() == [0, 1, 2, 3]
    assert gateway.state.acked == {5: 3}
    assert gateway.state.told[-2].head["hand"] == [5, 3]
    assert gateway.state.told[-1].head["left"] == [5, 3]


def test_an_attempt_that_begins_in_the_middle_goes_on_from_there(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(10))}, acked={5: 4})
    ends(gateway.run(ECHO))
    assert gateway.state.records() == [4, 5, 6, 7, 8, 9]
    assert gateway.state.told[0].acks[0][:2] == [5, 4]


@pytest.mark.parametrize(
    "record", ["a\\nb", "žluť 🎉 \\u2028", 1e300, -0.5, None, [], {"": [[{}]]}, "x" * 70_000, 2**70]
)
def test_a_record_is_what_it_was(gateway: SmallGateway, record: object) -> None:
    gateway.state.set(inputs={5: [record, record]})
    ends(gateway.run(ECHO))
    assert gateway.state.records() == [record, record]


# The record in hand


def test_a_record_that_takes_long_lets_its_outputs_go_ahead(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: ["a", "b"]})
    code = f"for record in messages():\n    send_message(record)\n    {WAIT}    send_message(record * 2)\n"
    program = gateway.run(IMPORT + code)
    gateway.state.until(lambda: gateway.state.records() == ["a"])
    assert (gateway.state.told[-1].head["hand"], gateway.state.told[-1].acks) == ([5, 0], [])
    go_on(program)
    gateway.state.until(lambda: gateway.state.records() == ["a", "aa", "b"])
    go_on(program)
    ends(program)
    assert gateway.state.records() == ["a", "aa", "b", "bb"]
    assert gateway.state.acked == {5: 2}
    assert gateway.state.told[-1].head["hand"] is None


def test_a_record_that_fills_the_window_lets_its_outputs_go_ahead(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [0, 1]})
    ends(
        gateway.run(
            f"{IMPORT}for record in messages():\n    for n in range(1000): send_message([record, n, 'x' * 6000])"
        )
    )
    assert [record[:2] for record in gateway.state.records()] == [[record, n] for record in (0, 1) for n in range(1000)]
    assert any(told.head["hand"] for told in gateway.state.told)
    for told in gateway.state.told:
        if told.head["hand"]:
            assert told.acks == []
            assert {record for record, _, _ in told.records()} == {told.head["hand"][1]}
    assert gateway.state.acked == {5: 2}


@pytest.mark.parametrize("call", ["flush()", "send_message('more', wait=True)"])
def test_a_flush_in_the_middle_of_a_record_says_whose_outputs_they_are(gateway: SmallGateway, call: str) -> None:
    gateway.state.set(inputs={5: ["a"]})
    program = gateway.run(
        f"{IMPORT}for record in messages():\n    send_message(record)\n    {call}\n    print('stored')\n    {WAIT}"
    )
    says(program, "stored")
    assert gateway.state.records()[0] == "a"
    assert {str(told.head["hand"]) for told in gateway.state.told} == {"[5, 0]"}
    assert gateway.state.acked == {}
    go_on(program)
    ends(program)
    assert gateway.state.acked == {5: 1}


TIMELESS = "import fabric_skill.sender\nfabric_skill.sender.HOLD_SECONDS = fabric_skill.sender.ACK_SECONDS = 1e6\n"


def test_no_timer_holds_back_what_a_finished_record_caused(gateway: SmallGateway) -> None:
    """Even if the next record is there already, and takes long."""
    gateway.state.set(inputs={5: [0, 1, 2, 3]})
    code = f"for record in messages():\n    if record % 2: {WAIT}    send_message(record)\n"
    program = gateway.run(f"{TIMELESS}{IMPORT}{code}")
    for done in (1, 3):
        gateway.state.until(lambda done=done: gateway.state.acked == {5: done})  # type: ignore[misc]
        assert gateway.state.records() == list(range(done))
        go_on(program)
    ends(program)
    assert gateway.state.records() == [0, 1, 2, 3]
    assert all(told.head["hand"] is None for told in gateway.state.told)


def test_a_finished_record_that_caused_nothing_is_acknowledged_while_the_next_one_takes_long(
    gateway: SmallGateway,
) -> None:
    gateway.state.set(inputs={5: [0, 1, 2, 3]})
    program = gateway.run(f"{IMPORT}for record in messages():\n    if record in (1, 3): {WAIT}")
    for done in (1, 3):
        gateway.state.until(lambda done=done: gateway.state.acked == {5: done})  # type: ignore[misc]
        go_on(program)
    ends(program)
    assert gateway.state.acked == {5: 4}


@pytest.mark.parametrize("how", ["records.close()", "del records", "records.throw(KeyError)"])
def test_the_record_at_which_reading_ends_stays_in_hand(gateway: SmallGateway, how: str) -> None:
    gateway.state.set(inputs={5: [0, 1, 2]})
    code = f"records = messages()\nnext(records), next(records)\nsend_message('a')\ntry: {how}\nexcept KeyError: pass\n"
    ends(gateway.run(f"{IMPORT}{code}send_message('b')\nflush()\n"))
    assert gateway.state.records() == ["a", "b"]
    assert gateway.state.acked == {5: 1}
    assert [told.head["hand"] for told in gateway.state.told if told.records()] == [[5, 1]]
    assert gateway.state.told[-1].head["left"] == [5, 1]


def test_what_was_dropped_takes_no_room(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(4))})
    code = "from fabric_skill import reject\nfor record in messages():\n    for n in range(390): send_message('x' * 10_000)\n"
    ends(gateway.run(f"{TIMELESS}{IMPORT}{code}    reject(record, 'no')\n"))
    assert [entry[:3] for told in gateway.state.told for entry in told.head.get("rejects", [])] == [
        [5, offset, "no"] for offset in range(4)
    ]
    assert gateway.state.records() == []


def test_records_of_many_threads_have_origins_that_can_be(gateway: SmallGateway) -> None:
    """Threads send while another one reads. A record's origin may be a little late, but never beyond what was read."""
    gateway.state.set(inputs={5: list(range(300))}, chunk=7)
    code = """
import threading, time
sys.setswitchinterval(1e-5)
done = threading.Event()
def work():
    while not done.is_set(): send_message(0, 'others'); time.sleep(0.0001)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for n in messages(): send_message(n)
done.set()
for thread in threads: thread.join()
"""
    ends(gateway.run(IMPORT + code))
    assert gateway.state.records() == list(range(300))
    last = 0
    for told in gateway.state.told:
        for (name, count, _), runs in zip(told.head["outputs"], told.head.get("parents") or [], strict=False):
            assert count_of(runs) == count
            found = [offset for channel, offset in parents_of(json.dumps(runs)) if channel]
            assert found == sorted(found)
            if name == "out":
                assert found == told.records()
            elif found:
                assert last <= found[0]
                assert found[-1] < 300
                last = found[-1]


def test_what_the_record_caused_that_raised_is_not_sent(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [0, 1, 2]})
    code = "for record in messages():\n    send_message(record)\n    if record == 1: raise ValueError('bad record')\n"
    _, stderr = ends(gateway.run(IMPORT + code), 1)
    assert "bad record" in stderr
    assert gateway.state.records() == [0]
    assert gateway.state.acked == {5: 1}


def test_what_was_sent_before_a_failure_is_stored(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}send_message(1)\nraise SystemExit(3)"), 3)
    assert gateway.state.records() == [1]


# At the end


def test_an_aggregator_acknowledges_nothing_and_holds_what_it_sends(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(10))}, chunk=3)
    code = "total = 0\nfor record in messages(acknowledge='end'):\n    send_message(record)\n    total += record\n"
    code += "send_message(total)\n"
    ends(gateway.run(IMPORT + code))
    assert gateway.state.records() == [*range(10), 45]
    assert all(told.head["hold"] and not told.acks and told.head["hand"] is None for told in gateway.state.told)
    assert all("acknowledge=end" in pull for pull in gateway.state.pulls)


def test_what_was_sent_before_the_aggregation_is_not_held(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [1]})
    ends(gateway.run(f"{IMPORT}send_message('early')\nfor record in messages('end'): send_message(record)"))
    told = [(told.records(), told.head["hold"]) for told in gateway.state.told if not told.is_goodbye]
    assert told == [(["early"], False), ([1], True)]


# A gateway that is away, or says no


@pytest.mark.parametrize("lose", ["before", "after"])
def test_a_commit_that_was_not_answered_is_sent_again_as_it_was(gateway: SmallGateway, lose: str) -> None:
    gateway.state.set(inputs={5: list(range(100))}, chunk=10, lose=lose)
    ends(gateway.run(ECHO))
    assert gateway.state.records() == list(range(100))
    assert gateway.state.acked == {5: 100}
    told = gateway.state.told
    if lose == "after":
        assert (told[1].resend, told[1].head, told[1].outputs) == (True, told[0].head, told[0].outputs)
        assert [item.resend for item in told].count(True) == 1
    assert [item.head["sequence"] for item in told if not item.resend] == list(range(1, gateway.state.sequence + 1))


def test_a_restart_of_the_gateway_goes_unnoticed(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: list(range(10))}, ended=False, hold=True)
    program = gateway.run(ECHO)
    gateway.state.until(lambda: gateway.state.arrived >= 1 and len(gateway.state.pulls) >= 2)
    gateway.stop()
    gateway.start()
    gateway.state.set(inputs={5: list(range(20))}, ended=True)
    ends(program)
    assert gateway.state.records() == list(range(20))
    assert gateway.state.acked == {5: 20}


def test_a_gateway_that_is_not_ready_is_asked_again(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [1, 2]}, statuses=[503, 503, 503])
    ends(gateway.run(ECHO))
    assert gateway.state.records() == [1, 2]


@pytest.mark.parametrize(("status", "exit_code"), [(400, 1), (401, 75), (409, 75), (413, 1), (500, 1)])
@pytest.mark.parametrize("code", ["send_message(1)", "for record in messages(): pass", "send_message(1, wait=True)"])
def test_an_attempt_that_is_refused_ends_and_says_why(
    gateway: SmallGateway, status: int, exit_code: int, code: str
) -> None:
    """Exit code 75 allows a retry, since it is not the program's fault."""
    gateway.state.set(statuses=[status])
    _, stderr = ends(gateway.run(f"{IMPORT}print('before')\n{code}"), exit_code)
    assert stderr == f"fabric_skill: refused with {status}; this attempt ends.\n"
    assert gateway.state.told == []


def test_a_sender_that_waits_for_room_is_told_too(gateway: SmallGateway) -> None:
    code = f"{OPEN}{WAIT}send_message(2)\n{WAIT}print('on')\nwhile True: send_message('x' * 1000)"
    program = gateway.run(IMPORT + code)
    holds_from_now_on(gateway, program)
    gateway.state.set(statuses=[409])
    go_on(program)
    says(program, "on")
    gateway.state.set(hold=False)
    ends(program, 75)


# Another process of the same attempt


CHILD = """
import multiprocessing
def child():
    try:
        send_message('from the child')
    except RuntimeError as error:
        print(error)
if __name__ == '__main__':
    send_message('from the parent', wait=True)
    process = multiprocessing.get_context({how!r}).Process(target=child)
    process.start()
    process.join()
    send_message('afterwards')
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_child_that_sends_is_told_that_it_cannot(gateway: SmallGateway, how: str) -> None:
    """It would reuse sequence numbers of its parent, so its records would be taken for resends."""
    stdout, _ = ends(gateway.run(IMPORT + CHILD.format(how=how)))
    assert "another process" in stdout
    assert gateway.state.records() == ["from the parent", "afterwards"]


def test_a_child_that_does_not_send_is_no_trouble(gateway: SmallGateway) -> None:
    code = (
        "import os\nsend_message(1)\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nelse: sys.exit(0)\nsend_message(2)\n"
    )
    ends(gateway.run(IMPORT + code))
    assert gateway.state.records() == [1, 2]


# What cannot be sent


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("float('nan')", "ValueError"),
        ("[float('inf')]", "ValueError"),
        ("object()", "TypeError"),
        ("{1: {2, 3}}", "TypeError"),
        ("b'bytes'", "TypeError"),
        ("'x' * (16 << 20)", "ValueError"),
    ],
)
def test_what_is_no_record_is_refused_and_the_program_can_go_on(gateway: SmallGateway, value: str, error: str) -> None:
    code = f"try:\n    send_message({value})\nexcept {error} as error:\n    print('refused')\nsend_message('fine')\n"
    stdout, _ = ends(gateway.run(IMPORT + code))
    assert stdout == "refused\n"
    assert gateway.state.records() == ["fine"]


def test_a_record_that_holds_itself_is_refused(gateway: SmallGateway) -> None:
    code = "a = []\na.append(a)\ntry: send_message(a)\nexcept ValueError as error: print('refused')\n"
    assert ends(gateway.run(IMPORT + code))[0] == "refused\n"


def test_the_largest_record_is_taken(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}send_message('x' * ((16 << 20) - 3))"))
    assert len(gateway.state.records()[0]) == (16 << 20) - 3


def test_the_input_is_read_once_and_acknowledged_in_a_way_that_exists(gateway: SmallGateway) -> None:
    code = "for call in (lambda: messages('later'), lambda: (messages(), messages())):\n"
    code += "    try: call()\n    except (ValueError, RuntimeError) as error: print(error)\n"
    stdout, _ = ends(gateway.run(IMPORT + code))
    assert stdout == (
        "acknowledge must be 'record' or 'end', not 'later'\nmessages() was already called; the input can be read only once\n"
    )


# Goodbye


def opens(gateway: SmallGateway) -> list[bool]:
    return [told.head["open"] for told in gateway.state.told]


def test_one_record_needs_one_commit(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}send_message(0)"))
    assert opens(gateway) == [False]


def test_a_program_that_sends_more_says_goodbye(gateway: SmallGateway) -> None:
    ends(gateway.run(f"{IMPORT}for n in range(3): send_message(n)"))
    assert opens(gateway)[:2] == [False, True]
    assert opens(gateway)[-1] is False


@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("end", ["os._exit(0)", "os.execlp('true', 'true')"])
def test_a_program_that_ends_without_a_word_leaves_its_sender_open_or_has_lost_nothing(
    gateway: SmallGateway, count: int, end: str
) -> None:
    ends(gateway.run(f"{IMPORT}import os\nfor n in range({count}): send_message(n)\n{end}"))
    assert opens(gateway)[-1] is (count > 1)
    assert gateway.state.records()[:2] == [0, 1][:count]


@pytest.mark.parametrize("last", ["flush()", "send_message(9, wait=True)"])
def test_who_has_flushed_may_end_as_he_likes(gateway: SmallGateway, last: str) -> None:
    ends(gateway.run(f"{IMPORT}import os\nfor n in range(9): send_message(n)\n{last}\nos._exit(0)"))
    assert opens(gateway)[-1] is False
    assert gateway.state.records()[:9] == list(range(9))


def test_a_reader_is_open_until_its_input_has_ended(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [1, 2]})
    ends(
        gateway.run(
            f"{IMPORT}import os\nfor n in messages():\n    send_message(n)\n    flush()\n    if n == 2: os._exit(0)"
        )
    )
    assert opens(gateway)[-1] is True
    assert "sender=" in gateway.state.pulls[0]


def test_a_reader_that_flushes_at_the_end_has_said_goodbye(gateway: SmallGateway) -> None:
    gateway.state.set(inputs={5: [1, 2]})
    ends(gateway.run(f"{ECHO}import os\nflush()\nos._exit(0)"))
    assert opens(gateway)[-1] is False
    assert gateway.state.acked == {5: 2}


def test_a_thread_that_sends_while_the_program_ends_makes_it_fail(gateway: SmallGateway) -> None:
    code = "import threading\ndef work():\n    while True: send_message(1)\n"
    code += "threading.Thread(target=work, daemon=True).start()\nsend_message(0)\nsend_message(0)\n"
    _, stderr = ends(gateway.run(IMPORT + code), 1)
    assert "a thread is still sending while the program ends" in stderr


@pytest.mark.parametrize("call", ["flush()", "send_message('b', wait=True)"])
def test_who_waits_does_not_wait_for_what_others_go_on_to_send(gateway: SmallGateway, call: str) -> None:
    code = "import threading\ndef work():\n    while going: send_message(1)\n"
    code += "going = True\nthread = threading.Thread(target=work)\n"
    code += f"send_message('a')\nthread.start()\n{call}\n{call}\ngoing = False\nthread.join()\n"
    ends(gateway.run(IMPORT + code))
    assert gateway.state.records()[0] == "a"
    assert opens(gateway)[-1] is False


def test_what_is_sent_by_a_handler_of_the_end_is_stored(gateway: SmallGateway) -> None:
    code = "import atexit\natexit.register(lambda: [send_message(n) for n in (2, 3)])\n" + OPEN
    ends(gateway.run(IMPORT + code))
    assert gateway.state.records() == [0, 1, 2, 3]
    assert opens(gateway)[-1] is False


# Without a Unix socket


def test_the_address_of_the_message_does_when_there_is_no_socket(tmp_path: Path) -> None:
    gateway = SmallGateway(tmp_path, tcp=True)
    gateway.state.set(inputs={5: list(range(10))})
    ends(gateway.run(ECHO))
    assert gateway.state.records() == list(range(10))
    gateway.close()


def test_nothing_is_imported_that_would_slow_down_a_start(gateway: SmallGateway) -> None:
    code = "from fabric_skill import send_message\nsend_message(1, wait=True)\n"
    code += "print(sorted(set(sys.modules) & {'http.client', 'logging', 'asyncio', 'ssl'}))"
    assert ends(gateway.run(code))[0] == "[]\n"


def test_what_a_thread_sends_as_the_reading_begins_has_as_many_origins_as_records() -> None:
    work = Progress("out", hold=False)
    work.sent += [0, "1"]
    work.seal()
    work.prologue = False
    work.sent += [0, "2"]
    work.seal()
    head, _ = work.finished.encoded(parents=True, one_channel=False)
    assert [count_of(runs) for runs in head["parents"]] == [2]

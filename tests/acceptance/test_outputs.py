"""What becomes of output: nothing that programs print or send may be lost, altered or fatal."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.live import Live


@pytest.fixture(autouse=True, params=[False, True], ids=["cold", "warm"])
def _warm(request: pytest.FixtureRequest, live: Live) -> None:
    live.warm = request.param


def test_stdout_is_the_response_and_combined_has_stderr_too(live: Live) -> None:
    program = "print('out', flush=True); print('err', file=sys.stderr, flush=True)"
    live.skill("clean", program)
    live.skill("both", program, response="combined")
    assert live.invoke("clean")["response"] == "out\n"
    assert sorted(live.invoke("both")["response"].splitlines()) == ["err", "out"]


def test_text_arrives_as_it_was_printed(live: Live) -> None:
    live.skill("say", "sys.stdout.buffer.write(message()['payload'].encode())")
    for text in ("", "no newline", "two\nlines\n", "Zürich 東京 🚀 \\u2028 \u2028", "a\x00b\x1b[31m", "crlf\r\n"):
        assert live.invoke("say", text)["response"] == text


def test_binary_garbage_is_a_response_and_whole_in_the_log(live: Live) -> None:
    garbage = bytes(range(256)) * 4
    live.skill("noise", "sys.stdout.buffer.write(bytes(range(256)) * 4)")
    ran = live.ok("skills", "invoke", "noise", "--payload", "1")
    assert "�" in ran.out
    assert live.ok("tasks", "logs", "noise").out.encode(errors="surrogateescape") == garbage


def test_json_output_is_parsed(live: Live) -> None:
    big = 12345678901234567890123456789
    live.skill("jsonic", f'print(\'{{"n": {big}, "x": 0.1, "é": null}}\')', response="json")
    assert live.invoke("jsonic")["response"] == {"n": big, "x": 0.1, "é": None}


def test_json_output_that_is_none_fails_with_a_reason(live: Live) -> None:
    live.skill("liar", "print(message()['payload'])", response="json")
    for printed in ("not json", "", "{} {}", "NaN", '{"x": Infinity}', "[" * 100_000, "1e999"):
        record, said = live.fail("liar", printed)
        assert record["status"] == "ERROR"
        assert "'response: json' needs one JSON value on stdout" in said
        assert "liar" in said


def test_a_response_is_one_value_an_array_or_null(live: Live) -> None:
    live.skill("send", "for n in range(message()['payload']): send_message(n)\nprint('not this')")
    assert live.invoke("send", 1)["response"] == 0
    assert live.invoke("send", 3)["response"] == [0, 1, 2]
    assert live.invoke("send", 0)["response"] == "not this\n"

    live.skill("quiet", "for record in messages(): pass", receives="stream")
    record = live.invoke("quiet")
    assert record["response"] is None
    assert "no response" in live.ok("skills", "invoke", "quiet", "--payload", "1").err


def test_payloads_are_not_altered(live: Live) -> None:
    live.skill("pass-on", "send_message(message()['payload'])")
    live.skill("stream-on", "for record in messages(): send_message(record)", receives="stream")
    live.agent("pass", ("input", "pass-on"), ("pass-on", "stream-on"), ("stream-on", "output"))
    payload = {
        "big": 2**200,
        "negative": -(2**70),
        "float": 0.1 + 0.2,
        "tiny": 5e-324,
        "text": 'quote " back \\ null \x00 newline \n line \u2028 é 🚀',
        "": [None, True, False, {}, [], ""],
    }
    assert live.invoke("pass", payload, kind="agents")["response"] == payload


def test_a_lone_surrogate_such_as_in_a_file_name_goes_through(live: Live) -> None:
    live.skill("odd", "send_message({'file': os.fsdecode(b'caf\\xe9')})")
    ran = live.ok("skills", "invoke", "odd", "--payload", "1")
    assert json.loads(ran.out) == {"file": "caf\udce9"}
    assert live.invoke("odd")["response"] == {"file": "caf\udce9"}


def test_a_terminal_that_knows_ascii_only_is_no_reason_to_fail(live: Live) -> None:
    live.skill("say", "sys.stdout.buffer.write('é 🚀'.encode())")
    ran = live.ok("skills", "invoke", "say", "--payload", "1", "-o", "json", PYTHONIOENCODING="ascii")
    assert ran.value["response"] == "é 🚀"
    live.ok("skills", "invoke", "say", "--payload", "1", PYTHONIOENCODING="ascii")


def test_payloads_of_any_size_reach_the_program(live: Live) -> None:
    program = """
    payload = message()["payload"]
    assert ("payloadFile" in json.loads(sys.argv[-1])) == (len(payload) > 100_000)
    print(len(payload), payload[-1], end="")
    """
    live.skill("measure", program)
    for size in (99_000, 101_000, 10_000_000):
        (live.root / "m.json").write_text(json.dumps({"payload": "x" * (size - 1) + "y"}))
        assert live.ok("skills", "invoke", "measure", "--params-file", "m.json").out == f"{size} y\n"


def test_a_payload_that_is_to_stay_private_is_in_a_file(live: Live) -> None:
    program = """
    words = Path("/proc/self/cmdline").read_text() + os.environ["CORTEX_PAYLOAD"]
    print("sec" + "ret" in words, message()["payload"], end="")
    """
    live.skill("private", program, message="file")
    live.skill("public", program)
    assert live.invoke("private", "secret")["response"] == "False secret"
    assert live.invoke("public", "secret")["response"] == "True secret"
    live.kill_owner()
    live.environment["FABRIC_JOBS_ARGV_BYTES"] = "0"
    assert live.invoke("public", "secret")["response"] == "False secret"


def test_a_large_payload_passes_from_skill_to_skill(live: Live) -> None:
    live.skill("grow", "send_message('z' * 10_000_000)")
    live.skill("weigh", "print(len(message()['payload']), end='')")
    live.agent("heavy", ("input", "grow"), ("grow", "weigh"), ("weigh", "output"))
    assert live.invoke("heavy", kind="agents")["response"] == "10000000"


def test_a_record_over_the_limit_is_refused_in_words(live: Live) -> None:
    live.skill("huge", "send_message('z' * (16 << 20))")
    _, said = live.fail("huge")
    assert "over the limit of 16777216 bytes" in said
    live.skill("print-huge", "print('z' * (16 << 20))")
    _, said = live.fail("print-huge")
    assert "over the limit of a record" in said
    (live.root / "m.json").write_text(json.dumps({"payload": "x" * (16 << 20)}))
    live.skill("echo", "print(1)")
    said = live.fails(2, "skills", "invoke", "echo", "--params-file", "m.json")
    assert "over the limit of 16,777,216 bytes" in said


def test_what_is_not_json_cannot_be_sent(live: Live) -> None:
    live.skill("bad", "send_message({1, 2})")
    _, said = live.fail("bad")
    assert "TypeError" in said
    live.skill("nan", "send_message(float('nan'))")
    _, said = live.fail("nan")
    assert "ValueError" in said


def test_a_flood_on_stderr_is_kept_whole_and_apart(live: Live) -> None:
    live.skill("flood", "for n in range(50_000): print('%099d' % n, file=sys.stderr)\nprint('done', end='')")
    assert live.invoke("flood")["response"] == "done"
    logs = live.ok("tasks", "logs", "flood")
    lines = logs.err.splitlines()
    assert logs.out == "done"
    assert len(logs.err) == 5_000_000
    assert [int(line) for line in lines] == list(range(50_000))


def test_sent_records_take_the_place_of_what_is_printed(live: Live) -> None:
    live.skill("both", "print('a log line'); send_message('the record'); print('another')")
    assert live.invoke("both")["response"] == "the record"
    assert live.ok("tasks", "logs", "both").out == "a log line\nanother\n"


def test_wait_and_flush_return_when_the_record_is_stored(live: Live) -> None:
    program = """
    send_message(1, wait=True)
    send_message(2)
    flush()
    (ROOT / "stored").touch()
    open(ROOT / "gate").read()
    """
    gate = live.gate("gate")
    live.skill("careful", program)
    activation = live.detach("careful")
    while not (live.root / "stored").exists():
        live.progress(activation)
    assert live.progress(activation)["careful"]["out"] == 2
    live.release(gate)
    assert live.wait(activation)["response"] == [1, 2]


def test_a_forked_child_does_not_send_what_its_parent_sends(live: Live) -> None:
    live.skill("fork", "send_message('once')\nif os.fork() == 0:\n    sys.exit(0)\nos.wait()")
    assert live.invoke("fork")["response"] == "once"


def test_outputs_at_exit_are_all_there(live: Live) -> None:
    live.skill("burst", "for n in range(900): send_message(n)\nsys.exit(0)")
    record = live.invoke("burst")
    assert record["response"] == list(range(900))

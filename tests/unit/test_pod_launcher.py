"""The launcher of pods, as a real process from the real zip, against a real server that takes its output."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.runtime.fabric_pod import gateway as pod_gateway
from fabric_jobs.runtime.fabric_pod import shipping
from tests.acceptance.live import is_alive, until
from tests.pods import Pod, Taker, a_taker

PYTHON = sys.executable
Start = Callable[..., Pod]


@pytest.fixture
def taker(tmp_path: Path) -> Iterator[Taker]:
    with a_taker(tmp_path) as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, taker: Taker) -> Iterator[Start]:
    pods: list[Pod] = []

    def begin(*words: str, gateway: str = taker.url, **changes: Any) -> Pod:
        pods.append(Pod(tmp_path / f"pod-{len(pods)}", gateway, *words, **changes))
        return pods[-1]

    yield begin
    for pod in pods:
        pod.close()


def test_both_streams_arrive_apart_and_in_the_containers_log(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", "echo out; echo err >&2; printf 'no end'; exit 3")
    pod.ends(3)
    assert taker.taken() == (b"out\nno end", b"err\n")
    assert pod.logged() == (b"out\nno end", b"err\n")
    assert taker.is_whole


def test_lines_arrive_while_the_program_runs(start: Start, taker: Taker) -> None:
    pod = start(
        "/bin/sh", "-c", "echo first; cat $GATE > /dev/null; echo second; cat $GATE > /dev/null", **at_gate(taker)
    )
    taker.arrives(b"first\n")
    release(taker)
    taker.arrives(b"first\nsecond\n")
    assert not taker.is_whole
    release(taker)
    pod.ends()
    assert taker.is_whole


def test_a_program_is_asked_to_end_once_although_the_first_signal_came_too_early(start: Start, taker: Taker) -> None:
    """A signal that comes before the launcher handles any is lost: the gateway says the same when something is printed."""
    code = """
import signal, time
asked = []

def note(number, _):
    if number == signal.SIGTERM:
        asked.append(number)
    print(len(asked), flush=True)
    if len(asked) == 2:
        raise SystemExit

signal.signal(signal.SIGTERM, note)
signal.signal(signal.SIGWINCH, note)
print("begun", flush=True)
while True:
    time.sleep(1000)
"""
    (taker.directory / shipped.STOP).touch()
    pod = start(PYTHON, "-c", code)
    taker.arrives(b"begun\n1\n")
    pod.process.send_signal(signal.SIGTERM)  # the cluster's, after all
    pod.process.send_signal(signal.SIGWINCH)
    taker.arrives(b"begun\n1\n1\n")
    pod.process.send_signal(signal.SIGTERM)
    pod.ends()


def at_gate(taker: Taker) -> dict[str, Any]:
    """Make a FIFO in the directory of the program."""
    os.mkfifo(taker.directory / "gate")
    return {"environment": {"GATE": str(taker.directory / "gate")}}


def release(taker: Taker) -> None:
    """Write a line into the FIFO once it is read."""
    with open(taker.directory / "gate", "w") as gate:
        gate.write("go\n")


def test_forty_megabytes_lose_nothing(start: Start, taker: Taker) -> None:
    code = "import sys\nfor n in range(400_000):\n print(f'{n:090d}xxxxxxxxx')\n if n % 1000 == 0: print(n, file=sys.stderr)"
    pod = start(PYTHON, "-c", code)
    pod.ends()
    stdout = b"".join(b"%090dxxxxxxxxx\n" % number for number in range(400_000))
    stderr = b"".join(b"%d\n" % number for number in range(0, 400_000, 1000))
    assert taker.taken() == (stdout, stderr)
    assert pod.logged() == (stdout, stderr)


def test_bytes_that_are_no_text_arrive_as_they_are(start: Start, taker: Taker) -> None:
    start(PYTHON, "-c", "import os; os.write(1, bytes(range(256)) * 300); os.write(2, b'\\xff\\0')").ends()
    assert taker.taken() == (bytes(range(256)) * 300, b"\xff\0")


def test_the_program_sees_the_images_variables_and_the_orders(start: Start, taker: Taker) -> None:
    code = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:], sys.path[1]]))"
    odd = {"A": "ü$(B)\n", "PORT": "1"}
    pod = start(PYTHON, "-c", code, "é ", '{"x": "\\u00fc"}', environment=odd, port=8080)
    pod.ends()
    variables, arguments, first = json.loads(taker.taken()[0])
    layer = str(pod.place / "runtime.zip")
    assert first == layer
    assert variables.pop("PYTHONPATH") == f"{layer}:/own"
    assert (variables["A"], variables["OF_IMAGE"], variables["PORT"]) == ("ü$(B)\n", "1", "8080")
    assert arguments == ["é ", '{"x": "\\u00fc"}']
    assert "FABRIC_JOBS_ATTEMPT" in variables


def test_the_program_imports_the_runtime_layer_from_the_zip(start: Start, taker: Taker) -> None:
    start(PYTHON, "-c", "import fabric_skill, cortex_worker; print(fabric_skill.__file__)").ends()
    assert b"runtime.zip" in taker.taken()[0]


def test_a_proxy_does_not_come_between_the_program_and_the_gateway(start: Start, taker: Taker) -> None:
    environment = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "one"}
    start("/bin/sh", "-c", "echo $no_proxy $NO_PROXY", environment=environment).ends()
    assert taker.taken()[0] == b"one,127.0.0.1 one,127.0.0.1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_program_which_may_handle_them(start: Start, taker: Taker, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    pod = start("/bin/sh", "-c", f"trap 'echo heard; exit 9' {name}; echo ready; while :; do sleep 0.02; done")
    taker.arrives(b"ready\n")
    pod.process.send_signal(number)
    pod.ends(9)
    assert taker.taken()[0] == b"ready\nheard\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGSEGV])
def test_a_program_that_dies_by_a_signal_gives_128_and_more(start: Start, number: signal.Signals) -> None:
    """Its dispositions are the default ones, though Python ignores SIGPIPE."""
    start("/bin/sh", "-c", f"kill -{int(number)} $$").ends(128 + number)


def test_a_signal_reaches_the_group(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", f"{PYTHON} -c 'import time; print(1, flush=True); time.sleep(1000)'; echo over")
    taker.arrives(b"1\n")
    pod.process.terminate()
    pod.ends(128 + signal.SIGTERM)


def test_what_the_program_leaves_behind_ends_with_it(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", "sleep 1000 & echo $!")
    pod.ends()
    left = int(taker.taken()[0])
    until(lambda: not is_alive(left), "the rest ends")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["no-such-program"], 127, "no-such-program: not found"),
        (["/no/such/program", "x"], 127, "/no/such/program: not found"),
        (["/etc/passwd"], 126, "/etc/passwd: Permission denied"),
        (["/"], 126, "/: Permission denied"),
        (["/bin/sh", "x" * 200_000], 125, "/bin/sh: Argument list too long"),
        (["/bin/sh", "a\0b"], 125, "/bin/sh: embedded null byte"),
    ],
)
def test_a_program_that_cannot_be_started_is_said(
    start: Start, taker: Taker, words: list[str], code: int, why: str
) -> None:
    pod = start(*words)
    pod.ends(code)
    assert taker.taken() == (b"", f"fabric_pod: {why}\n".encode())
    assert taker.is_whole


def test_a_script_whose_interpreter_is_missing_is_said(start: Start, taker: Taker, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    start(str(script)).ends(126)
    assert taker.taken()[1] == f"fabric_pod: {script}: its interpreter is not found\n".encode()


def test_a_script_without_an_interpreter_is_one_of_the_shell(start: Start, taker: Taker, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    start(str(script), "a b").ends()
    assert taker.taken()[0] == b"a b\n"


# The gateway may be away.


def test_a_gateway_that_was_away_gets_everything_once(start: Start, taker: Taker) -> None:
    code = (
        "import os, sys\n"
        "for n in range(3):\n"
        "  for m in range(20_000): print(n, m)\n"
        "  sys.stdout.flush(); open(os.environ['GATE']).read()\n"
    )
    pod = start(PYTHON, "-c", code, **at_gate(taker))
    whole = [b"".join(b"%d %d\n" % (n, m) for m in range(20_000)) for n in range(3)]
    taker.arrives(whole[0])
    taker.stop()
    release(taker)
    until(lambda: len(pod.logged()[0]) == len(whole[0] + whole[1]), "the container's log has what the gateway has not")
    assert taker.taken()[0] == whole[0]
    taker.start()
    taker.arrives(whole[0] + whole[1])
    release(taker)
    taker.arrives(b"".join(whole))
    release(taker)
    pod.ends()
    assert taker.taken()[0] == b"".join(whole)


def test_a_gateway_that_lost_output_with_its_power_gets_it_again(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", "echo 0123456789; cat $GATE > /dev/null; echo more", **at_gate(taker))
    taker.arrives(b"0123456789\n")
    os.truncate(taker.directory / "stdout", 4)
    release(taker)
    pod.ends()
    assert taker.taken()[0] == b"0123456789\nmore\n"


@pytest.mark.parametrize(("code", "told"), [(4, 4), (0, pod_gateway.OVER)])
def test_without_a_gateway_the_program_runs_to_its_end(start: Start, taker: Taker, code: int, told: int) -> None:
    taker.stop()
    pod = start("/bin/sh", "-c", f"echo out; exit {code}", patience=0.2)
    pod.ends(told)
    stdout, stderr = pod.logged()
    assert stdout == b"out\n"
    assert b"fabric_pod: the gateway has been away for 0.2s" in stderr
    assert b"the rest of the output is only in the log of this container.\n" in stderr


def test_a_gateway_that_accepts_and_never_answers_does_not_hold_a_program_for_ever(start: Start, taker: Taker) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        pod = start("/bin/sh", "-c", "echo out; exit 4", gateway=url, patience=0.1)
        pod.ends(4)
    assert b"the gateway does not answer" in pod.logged()[1]


def test_an_attempt_that_is_over_for_the_gateway_sends_no_more(start: Start, taker: Taker) -> None:
    taker.refuses = 409
    pod = start("/bin/sh", "-c", "echo out; exit 4")
    pod.ends(4)
    assert pod.logged()[1].startswith(b"fabric_pod: refused by the test.; the rest")
    assert len(taker.posts) == 1


def test_an_error_of_the_gateway_is_no_refusal(start: Start, taker: Taker) -> None:
    taker.refuses = 503
    pod = start("/bin/sh", "-c", "echo out")
    until(lambda: len(taker.posts) > 2, "it tries again")
    taker.refuses = 0
    pod.ends()
    assert taker.taken()[0] == b"out\n"


def test_a_killed_launcher_leaves_what_it_has_sent(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", "echo out; exec sleep 1000")
    taker.arrives(b"out\n")
    program = pod.program()
    pod.process.kill()
    pod.process.wait()
    os.kill(program, signal.SIGKILL)  # which the end of a container does
    assert not taker.is_whole


def test_a_signal_before_the_program_runs_ends_the_launcher(start: Start, taker: Taker) -> None:
    taker.stop()
    pod = start("/bin/sh", "-c", "echo out", files=["payload.json"])
    until(lambda: b"SigCgt" in status(pod) and caught(pod), "it handles signals")
    pod.process.terminate()
    pod.ends(128 + signal.SIGTERM)


def status(pod: Pod) -> bytes:
    return Path(f"/proc/{pod.process.pid}/status").read_bytes()


def caught(pod: Pod) -> bool:
    """Tell whether a launcher handles SIGTERM by now."""
    mask = next(line for line in status(pod).splitlines() if line.startswith(b"SigCgt"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_files_that_cannot_be_fetched_end_it(start: Start, taker: Taker) -> None:
    taker.stop()
    pod = start("/bin/sh", "-c", "echo out", files=["payload.json"], patience=0.1)
    pod.ends(pod_gateway.OVER)
    assert pod.logged()[1].startswith(
        b"fabric_pod: the files of this attempt cannot be fetched: the gateway has been away"
    )


def test_without_an_attempt_the_program_has_the_streams_of_the_container(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", "echo out; echo err >&2; exit 6", attempt="")
    pod.ends(6)
    assert pod.logged() == (b"out\n", b"err\n")
    assert taker.posts == []


# Cost


def test_a_quiet_program_costs_nothing(start: Start, taker: Taker) -> None:
    pod = start("/bin/sh", "-c", "echo ready; exec sleep 1000")
    taker.arrives(b"ready\n")
    path = Path(f"/proc/{pod.process.pid}/status")

    def switches() -> int:
        lines = (line.split() for line in path.read_text().splitlines() if "ctxt_switches" in line)
        return sum(int(words[1]) for words in lines)

    def is_still() -> bool:
        before = switches()
        time.sleep(0.5)
        return switches() == before

    until(is_still, "its main thread does not wake")


def test_a_few_lines_are_a_few_requests(start: Start, taker: Taker) -> None:
    start(PYTHON, "-c", "import time\nfor n in range(100): print(n, flush=True); time.sleep(0.005)").ends()
    assert len(taker.posts) < 60


def test_what_has_been_sent_is_given_back_to_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(shipping.FREE_BYTES) + b"end")
    with open(path, "r+b") as file:
        before = path.stat()
        if not shipping.punch(file.fileno(), 0, shipping.FREE_BYTES):
            pytest.skip("this file system frees no parts of files")
    after = path.stat()
    assert after.st_blocks < before.st_blocks // 2
    assert (after.st_size, path.read_bytes()[-4:]) == (before.st_size, b"\0end")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://10.0.0.1:8080", ("10.0.0.1", 8080)),
        ("http://gateway.ns.svc/px", ("gateway.ns.svc", 80)),
        ("http://[fd00::1]:81", ("fd00::1", 81)),
        ("http://[fd00::1]", ("fd00::1", 80)),
    ],
)
def test_addresses(url: str, place: tuple[str, int]) -> None:
    assert pod_gateway.address(url) == place

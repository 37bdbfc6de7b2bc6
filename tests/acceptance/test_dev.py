"""`skills dev`: the tests edit files, and read what the command prints."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.acceptance.live import PATIENCE_SECONDS, PRELUDE, Live, Started, until

ECHO = "print(json.dumps(message()['payload']), end='')"


class Dev:
    """A running `skills dev`, whose new output is read in turn."""

    def __init__(self, live: Live, *words: object) -> None:
        self.live = live
        self.main = live.root / "skills/echo/actions/echo/main.py"
        self.process: Started = live.start("skills", "dev", "echo", *words)
        self._seen = {"out": 0, "err": 0}

    def says(self, text: str) -> dict[str, str]:
        """Wait for `text`, which ends a round, and return the new output on stdout and stderr."""
        place = self.live.root.parent / "started-0"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            # stderr first: all that came on stdout before its last line is then included
            whole = {name: (place / name).read_text(errors="replace") for name in ("err", "out")}
            new = {name: said[self._seen[name] :] for name, said in whole.items()}
            if any(text in said and said.endswith("\n") for said in new.values()):
                self._seen = {name: len(said) for name, said in whole.items()}
                return new
            assert time.monotonic() < deadline, f"it never says '{text}': {new}"
            time.sleep(0.01)

    def program(self, text: str) -> None:
        """Save a program as editors do: a new file replaces the old one."""
        beside = self.main.with_name(".main.py.swp")
        beside.write_text(PRELUDE + text)
        os.replace(beside, self.main)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.signal(signal.SIGINT)
        assert self.process.finish().code == 130


def prepared(live: Live, payload: object) -> Path:
    live.skill("echo", ECHO, response="json")
    message = live.root / "skills/echo/invoke/request/message.json"
    message.parent.mkdir(parents=True)
    message.write_text(json.dumps({"payload": payload}))
    return message


def test_every_change_runs_it_again_and_shows_what_changed(live: Live) -> None:
    message = prepared(live, {"a": 1, "b": [1, 2]})
    dev = Dev(live)
    first = dev.says("COMPLETE")
    assert json.loads(first["out"]) == {"a": 1, "b": [1, 2]}
    assert "Watching skills/echo (3 files)" in first["err"]

    message.write_text(json.dumps({"payload": {"a": 1, "b": [1, 3]}}))
    second = dev.says("1 difference\n")
    assert second["out"].split() == ["response.b[1]", "was:", "2", "now:", "3"]
    assert "changed: invoke/request/message.json" in second["err"]

    dev.program("print(json.dumps({**message()['payload'], 'new': 'x'}))")
    assert dev.says("1 difference\n")["out"].split() == ["response.new", "was:", "nothing", "now:", '"x"']
    dev.program("print(json.dumps({**message()['payload'], 'new': 'x'}), end='')")
    assert dev.says("the same response")["out"] == ""
    dev.interrupt()


def test_a_broken_file_and_a_crash_are_told_and_the_next_change_is_waited_for(live: Live) -> None:
    message = prepared(live, 1)
    definition = live.root / "skills/echo/skill.yaml"
    good = definition.read_text()
    definition.write_text("name: echo\nfoo: 1\n")
    dev = Dev(live)
    assert "unknown key 'foo'" in dev.says("unknown key")["err"]
    definition.write_text(good)
    dev.says("COMPLETE")
    message.unlink()
    dev.says("Create it, or choose another")
    message.write_text('{"payload": 1}')
    dev.says("the same response")
    dev.program("[print('line', n, file=sys.stderr) for n in range(40)]\nraise ValueError('on purpose')")
    failed = dev.says("Read its log")["err"]
    assert "ValueError: on purpose" in failed
    assert "line 0\n" in failed  # more than the last lines
    definition.unlink()
    dev.says("there is no skill 'echo'")
    definition.write_text(good)
    dev.says("ValueError")
    dev.program(ECHO)
    dev.says("the same response")
    dev.interrupt()


def test_a_change_cancels_the_run_that_is_going_on(live: Live) -> None:
    prepared(live, 1)
    live.gate("gate")
    waits = "Path('made.txt').write_text('x')\n(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()"
    message = live.root / "other.json"
    message.write_text('{"payload": "other"}')
    dev = Dev(live, "request", "--message", message)
    assert dev.says("COMPLETE")["out"] == "other\n"
    dev.program(waits)
    until((live.root / "began").exists, "the job runs")
    dev.program(ECHO)
    said = dev.says("the same response")["err"]
    assert "cancelled, because its files changed" in said
    assert "Not watched, since the program writes it: actions/echo/made.txt" in said
    assert [row["status"] for row in live.ok("activations", "list", "-o", "json").value][:2] == [
        "COMPLETE",
        "CANCELLED",
    ]

    (live.root / "began").unlink()
    dev.program(waits)
    until((live.root / "began").exists, "the job runs")
    dev.interrupt()
    assert live.ok("activations", "list", "-o", "json").value[0]["status"] == "CANCELLED"


def test_a_program_that_changes_its_own_files_does_not_run_for_ever(live: Live) -> None:
    prepared(live, 1)
    dev = Dev(live)
    dev.says("COMPLETE")
    (dev.main.parent / "state.txt").write_text("")
    dev.says("the same response")
    dev.program("open('state.txt', 'a').write('x')\n" + ECHO)
    assert "--ignore 'actions/echo/state.txt'" in dev.says("so the command waits for the next change")["err"]
    runs = len(live.ok("activations", "list", "-o", "json").value)
    dev.program(ECHO)
    dev.says("the same response")
    assert len(live.ok("activations", "list", "-o", "json").value) == runs + 1
    dev.interrupt()


def test_what_is_not_there_is_told_at_once(live: Live) -> None:
    prepared(live, 1)
    assert "Did you mean 'echo'?" in live.fails(3, "skills", "dev", "ecko")
    assert "Did you mean 'request'?" in live.fails(3, "skills", "dev", "echo", "requst")

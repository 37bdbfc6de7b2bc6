"""`fabric-jobs schedules`: a file or options, what is shown, and what is said when something is wrong."""

from __future__ import annotations

import json

from tests.acceptance.live import Live, names

ECHO = "print(message()['payload'], end='')"
FILE = """
schedules:
  - name: nightly
    cron: "30 2 * * *"
    timezone: Europe/Berlin
    skill: echo
    payload: {n: 1}
    jitter_seconds: 600
  - {name: team/hourly, cron: "@hourly", agent: both, overlap: queue}
"""


def workspace(live: Live, text: str = FILE) -> None:
    live.skill("echo", ECHO)
    live.agent("both", ("input", "echo"), ("echo", "output"))
    (live.root / "schedules.yaml").write_text(text)


def test_a_file_is_applied_shown_and_changed(live: Live) -> None:
    workspace(live)
    first = live.ok("schedules", "apply")
    assert [line.split() for line in first.out.splitlines()[1:]] == [["nightly", "created"], ["team/hourly", "created"]]
    assert "Next: fabric-jobs serve" in first.err
    table = live.ok("schedules", "list").out
    assert "30 2 * * *" in table
    assert "team/hourly" in table
    assert live.ok("schedules", "apply", "-o", "json").value["unchanged"] == ["nightly", "team/hourly"]
    shown = live.ok("schedules", "show", "team/hourly", "-o", "json").value
    assert (shown["agent"], shown["service"], shown["overlap"], shown["occurrences"]) == ("both", "input", "queue", [])
    assert live.ok("schedules", "next", "nightly", "--count", 2).out.count("T02:30:00+0") == 2

    workspace(live, FILE.replace("30 2", "45 2").partition("  - {name: team")[0])
    again = live.ok("schedules", "apply")
    assert "team/hourly" in again.err
    assert "--prune" in again.err
    assert "Add --yes" in live.fails(2, "schedules", "apply", "--prune")
    pruned = live.ok("schedules", "apply", "--prune", "--yes", "-o", "json").value
    assert (pruned["deleted"], pruned["others"]) == (["team/hourly"], [])
    assert names(live.ok("schedules", "list", "-o", "json").value) == ["nightly"]


def test_every_problem_of_a_file_is_told_with_its_place_and_nothing_is_saved(live: Live) -> None:
    workspace(
        live,
        """
schedules:
  - name: 1st
    cron: "61 * * * *"
    timezone: Europe/Berln
    skill: echo
    overlap: skp
  - {name: b, crn: "* * * * *", skill: echo, service: x}
  - {name: B, cron: 5, skill: echo, agent: both}
""",
    )
    said = live.fails(4, "schedules", "apply")
    for text in (
        "schedules.yaml:3:11: error: schedules[0].name: '1st'",
        "schedules.yaml:4:11: error: schedules[0].cron: '61 * * * *' is not a cron expression: there is something wrong in minute",
        "schedules.yaml:5:15: error: schedules[0].timezone: there is no time zone 'Europe/Berln'. Did you mean 'Europe/Berlin'?",
        "schedules.yaml:7:14: error: schedules[0].overlap: 'skp' is not a known value. Did you mean 'skip'?",
        "schedules.yaml:8:5: error: schedules[1]: the key 'cron' is missing",
        "schedules.yaml:8:15: error: schedules[1].crn: unknown key 'crn'. Did you mean 'cron'?",
        "'service' is for an agent",
        "a second schedule is called 'B'",
        "schedules[2]: a schedule invokes either an agent or a skill",
    ):
        assert text in said
    assert live.ok("schedules", "list", "-o", "json").value == []
    live.fails(3, "schedules", "apply", "other.yaml")
    workspace(live, 'schedules: [{name: a, cron: "@daily", skill: gone}]')
    assert "no skill 'gone'" in live.fails(3, "schedules", "apply")
    workspace(live, "- 1")
    live.fails(4, "schedules", "apply")


def test_a_schedule_from_options_runs_when_it_is_triggered_and_not_while_it_is_paused(live: Live) -> None:
    workspace(live)
    params = live.root / "params.json"
    params.write_text(json.dumps({"payload": "hello", "properties": {}}))
    words = ("--cron", "@daily", "--skill", "echo", "--params-file", params, "--jitter", "5m", "--catchup-within", "2h")
    made = live.ok("schedules", "create", "one", *words, "-o", "json").value
    assert (made["catchup_seconds"], made["jitter_seconds"], made["input"]) == (7200.0, 300.0, "request")
    run = live.ok("schedules", "trigger", "one").out.strip()
    assert live.wait(run)["response"] == "hello"
    live.ok("schedules", "pause", "one", "--note", "until Monday")
    assert "paused: until Monday" in live.ok("schedules", "list").out
    assert live.ok("schedules", "show", "one", "-o", "json").value["nextAt"] is None
    live.ok("schedules", "resume", "one")
    assert "paused" not in live.ok("schedules", "list").out
    past = ("schedules", "backfill", "one", "--from", "2026-01-30T00:00:00Z", "--to", "2026-01-31T23:00:00Z")
    assert len(live.ok(*past, "--dry-run", "-o", "json").value) == 2
    assert {row["outcome"] for row in live.ok(*past, "-o", "json").value} == {"started"}
    live.ok("schedules", "delete", "one")
    live.fails(3, "schedules", "show", "one")
    assert len(live.ok("activations", "list", "-o", "json").value) == 3


def test_a_trigger_that_overlap_does_not_allow_exits_with_1(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("held", "open(ROOT / 'gate').read()")
    live.ok("schedules", "create", "one", "--cron", "@daily", "--skill", "held")
    run = live.ok("schedules", "trigger", "one").out.strip()
    assert f"is skipped: {run} has not ended" in live.fails(1, "schedules", "trigger", "one")
    live.release(gate)
    live.wait(run)
    assert live.ok("schedules", "trigger", "one", "-o", "json").value["outcome"] == "started"
    live.release(gate)


def test_what_is_wrong_in_options(live: Live) -> None:
    workspace(live)
    create = ("schedules", "create", "one")
    assert "five fields" in live.fails(2, *create, "--cron", "* * *", "--skill", "echo")
    assert "either --agent or --skill" in live.fails(2, *create, "--cron", "@daily")
    assert "no skill 'gone'" in live.fails(3, *create, "--cron", "@daily", "--skill", "gone")
    live.fails(3, *create, "--cron", "@daily", "--agent", "both", "--entry", "gone")
    assert "Mars" in live.fails(2, *create, "--cron", "@daily", "--skill", "echo", "--timezone", "Mars/Olympus")
    params = live.root / "params.json"
    params.write_text(json.dumps({"payload": 1, "sessionId": "x"}))
    assert "sessionId" in live.fails(2, *create, "--cron", "@daily", "--skill", "echo", "--params-file", params)
    live.fails(2, "schedules", "next")
    live.fails(2, "schedules", "next", "--cron", "nonsense")
    live.fails(3, "schedules", "pause", "nobody")
    live.fails(2, "schedules", "backfill", "one")
    assert live.ok("schedules", "list", "-o", "json").value == []


def test_the_next_times_of_an_expression_need_no_workspace(live: Live) -> None:
    out = live.ok(
        "schedules", "next", "--cron", "30 2 * * *", "--timezone", "Asia/Kathmandu", "--count", 3, cwd=live.root.parent
    ).out
    assert out.count("T02:30:00+05:45\n") == 3

"""kill -9 of `serve` while schedules fire: every time runs once, and has its occurrence."""

from __future__ import annotations

import random
import sqlite3
import time

from tests.acceptance.live import Live, Started, until
from tests.seeds import CRASH_SEED as SEED

ECHO = "print(message()['scheduledAt'], end='')"
TIMES = 60


def save(live: Live, name: str = "minutely") -> None:
    live.skill("echo", ECHO)
    text = f"""
schedules:
  - {{name: {name}, cron: "* * * * *", skill: echo, overlap: parallel, catchup: all, catchup_seconds: {TIMES * 60}}}
"""
    (live.root / "schedules.yaml").write_text(text)
    live.ok("schedules", "apply")


def set_back(live: Live, minutes: int) -> None:
    """Let the schedules have fired last so many minutes ago, as if nothing had served since."""
    last = (time.time() // 60 - minutes) * 60
    with sqlite3.connect(live.state / "state.db") as database:
        database.execute("update schedules set last_at = ?, next_at = ?", (last, last + 60))
    database.close()


def serve(live: Live) -> Started:
    started = live.start("serve", "--slots", "local=2")
    started.wait_for("Serving")
    return started


def occurrences(live: Live) -> list[dict[str, object]]:
    found: list[dict[str, object]] = live.ok("schedules", "show", "minutely", "--limit", 1000, "-o", "json").value[
        "occurrences"
    ]
    return found


def test_killed_while_it_catches_up_and_starts(live: Live) -> None:
    """The kills come anywhere: before, in and after the transaction that starts sixty runs, and while they run."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    save(live)
    live.stop_owner()
    set_back(live, TIMES)
    begin = time.time()
    for _ in range(5):
        serving = live.start("serve", "--slots", "local=2")
        time.sleep(
            chance.uniform(0.2, 1.2)
        )  # where the kill comes: from before the start of the clock to far behind it
        serving.kill()
    serve(live)
    until(lambda: occurrences(live) and not live.get("/schedules/minutely")["schedule"]["running"], "all runs end")
    found = occurrences(live)
    started = [item for item in found if item["outcome"] == "started"]
    times = {item["at"] for item in started}
    expected = {int((begin // 60 - minutes) * 60_000) for minutes in range(TIMES - 2)}
    assert expected <= times
    assert {item["outcome"] for item in found} <= {"started", "missed"}
    activations = live.ok("activations", "list", "--limit", 1000, "-o", "json").value
    assert sorted(item["activationId"] for item in activations) == sorted(str(item["activationId"]) for item in started)
    assert {item["status"] for item in activations} == {"COMPLETE"}
    assert live.ok("state", "check").code == 0


def test_a_restart_runs_the_newest_missed_time_once(live: Live) -> None:
    live.skill("echo", ECHO)
    live.ok("schedules", "create", "minutely", "--cron", "*/5 * * * *", "--skill", "echo")
    live.stop_owner()
    set_back(live, 30)
    serving = serve(live)
    until(lambda: occurrences(live), "it catches up")
    serving.kill()
    serve(live)
    found = occurrences(live)
    assert [item["outcome"] for item in found].count("started") == 1
    assert found[0]["outcome"] == "started"
    assert {item["outcome"] for item in found[1:]} == {"missed"}


def test_a_killed_backfill_goes_on_where_it_was(live: Live) -> None:
    save(live)
    live.ok("schedules", "pause", "minutely")
    words = ("schedules", "backfill", "minutely", "--from", "2026-01-31T00:00:00Z", "--to", "2026-01-31T01:19:00Z")
    running = live.start(*words)
    until(lambda: len(occurrences(live)) > 5, "some have started")
    live.kill_owner()
    running.finish()  # it calls again, and starts another owner
    made = live.ok(*words, "-o", "json").value
    assert len({item["activationId"] for item in made}) == 80
    assert len(live.ok("activations", "list", "--limit", 1000, "-o", "json").value) == 80

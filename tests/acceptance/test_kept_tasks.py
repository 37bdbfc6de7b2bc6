"""Tasks that went well are deleted beyond the newest; what they sent, counted and came from is kept."""

from __future__ import annotations

from tests.acceptance.live import Live, until


def test_old_tasks_that_went_well_are_deleted_and_others_stay(live: Live) -> None:
    live.warm = True
    live.environment["FABRIC_JOBS_KEPT_TASKS"] = "10"
    live.skill("source", "for n in range(message()['payload']): send_message(n)")
    program = """
        if message()["payload"] == 3 and not (ROOT / "tried").exists():
            (ROOT / "tried").touch()
            sys.exit(1)
        print(2 * message()["payload"])
    """
    live.skill("each", program, response="json", retries={"limit": 1, "backoff_seconds": 0})
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))
    record = live.invoke("line", 220, kind="agents")
    assert sorted(record["response"]) == [2 * n for n in range(220)]

    def listed() -> list[int]:
        tasks = live.ok("tasks", "list", "--skill", "each", "-o", "json", "--limit", 300).value
        return [task["record"]["offset"] for task in tasks]

    until(lambda: len(listed()) <= 31, "20 completed after the last look, 10 were kept, and one was tried twice")
    assert 3 in listed()
    assert live.progress(record["activationId"])["each"]["tasks"] == {"COMPLETE": 220}
    until(lambda: len(live.attempts("each")) == len(listed()) + 1, "the directories are gone, too")
    place = record["response"].index(2 * 0)
    traced = live.ok("trace", record["activationId"], "--offset", place, "-o", "json").value
    assert [stop["offsets"] for stop in traced["records"]][1] == [[0, 1]]
    assert "Nothing is wrong" in live.ok("state", "check").err

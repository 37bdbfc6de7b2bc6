"""SQLite's query plans show that every look, start, end and invocation costs what is live, not what has ended.

The statements are found by running activations, and by asking the gateway for them as commands do.
"""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fabric_jobs.blobs import open_blobs
from fabric_jobs.gateway.access import Access
from fabric_jobs.gateway.app import make_app
from fabric_jobs.gateway.live import Live
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Project
from fabric_jobs.store import Store, projects, sql
from fabric_jobs.store.sql import QUERIES
from tests.engine.bench import Bench
from tests.factories import PROJECT, skill_document

TOKEN = "t"
P = f"/fabric/v4/projects/{PROJECT}"
# Statements that must be among the traced ones; otherwise tracing failed.
EXPECTED = {
    "activation", "leases_of_task", "finished_around", "attempt", "channels_of_activation", "current_attempt", "end_activation",
    "end_task",
    "events_of_activation", "insert_dead_letter", "latest_definition", "live_tasks", "recent_attempts", "requeue_task",
    "segments_from", "start_task", "tasks_of_activation", "tasks_of_activation_oldest", "dead_letters_of_activation",
    "dead_letters_of_activation_count", "totals_by_node", "unsettled_activations", "activations_to_admit", "admit_activation",
}  # fmt: skip

OF_THE_BENCH = {"tasks", "activations"}  # the bench itself reads all rows


class Recorded(dict[str, str]):
    """The statements, and a record of those that were run."""

    def __init__(self) -> None:
        super().__init__(QUERIES)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return super().__getitem__(name)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names of all statements run by activations and their observers."""
    recorded = Recorded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "QUERIES", recorded)
        made = Bench(tmp_path_factory.mktemp("traced"), activations=1)
        try:
            _run_all_kinds(made)
            asyncio.run(_ask_as_commands_do(made))
            made.restart()
        finally:
            made.close()
    return recorded.names - OF_THE_BENCH


def _run_all_kinds(bench: Bench) -> None:
    """Run a task with retries and a dead record, a stream behind another skill, and an activation that is cancelled."""
    failing = bench.skill("failing", retries={"limit": 1}, onError="continue")
    bench.finish("failing.in", code=1)
    bench.until(lambda: any(task.attempt == 2 for task in bench.tasks("failing.in")))
    bench.finish("failing.in", code=1)
    bench.ended(failing)
    wires = [("input", "a.in"), ("a.out", "b.in"), ("b.out", "output")]
    chain = bench.agent(wires, a={}, b={"receives": "stream"})
    bench.send(bench.running("a.in"), 1, 2)
    bench.finish("a.in")
    bench.send(bench.running("b.in"), 3, hold=True)
    bench.finish("b.in")
    bench.ended(chain)
    cancelled = bench.skill("slow")
    bench.running("slow.in")
    waiting = bench.invoke("skill", "slow")
    bench.engine.cancel(cancelled, PROJECT, "why not").result(30)
    bench.ended(cancelled)
    bench.finish("slow.in")
    bench.ended(waiting)


async def _ask_as_commands_do(bench: Bench) -> None:
    live = Live(bench.store, bench.settings)
    access = Access(bench.store, secret=TOKEN, key=bench.issuing.key)
    bench.store.write(lambda tx: projects.ensure(tx, Project.new(PROJECT, created_by="x"))).result()
    parts = Parts(
        store=bench.store,
        engine=bench.engine,
        live=live,
        settings=bench.settings,
        executors={"fake": bench.place},
        upkeep=cast(Any, SimpleNamespace()),
        blobs=open_blobs(bench.store.path.parent / "content"),
        access=access,
        key=bench.issuing.key,
    )
    app = make_app(parts)

    async def call(method: str, path: str, body: object = None) -> Any:
        target, _, query = f"{P}{path}".partition("?")
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": method, "path": target, "query_string": query.encode(), "headers": headers}
        await app({**scope, "http_version": "1.1", "state": {}, "root_path": "", "client": None}, receive, send)
        assert sent[0]["status"] == 200, sent
        return json.loads(sent[1]["body"])

    await call("POST", "/skills", skill_document("asked"))
    invoked = await call("POST", "/skillinvoke/asked/inputs/in?executor=fake", {"payload": 1})
    path = f"/activations/{invoked['activationId']}"
    await call("GET", f"{path}/follow")
    await asyncio.to_thread(bench.finish, "asked.in", stdout=b"1")
    await asyncio.to_thread(bench.ended, invoked["activationId"])
    for way in ("/follow", "", "?verbose", "?report"):
        await call("GET", path + way)
    for order in ("", "&sort=asc"):
        await call("GET", f"/tasks?activationId={invoked['activationId']}{order}")
    (task,) = (await call("GET", f"/tasks?activationId={invoked['activationId']}"))["tasks"]
    await call("GET", f"/tasks/{task['name']}")
    await call("GET", f"/deadletters?activationId={invoked['activationId']}")
    live.close()


def test_an_activation_runs_the_statements_that_it_is_known_to_run(traced: set[str]) -> None:
    assert traced >= EXPECTED


def test_what_an_activation_runs_scans_no_table(store: Store, traced: set[str]) -> None:
    wide = {name: found for name in sorted(traced) if (found := scans(store, name))}
    assert wide == {}


def test_a_statement_that_scans_a_table_is_found_out(store: Store) -> None:
    assert scans(store, "activation_states")[0].startswith("SCAN activations")
    assert scans(store, "activation_names") == ["SCAN activations"]


LISTS = [name for name in QUERIES if re.match(r"(activations|tasks|dead_letters)(_|$)", name)]


@pytest.mark.parametrize("name", [name for name in LISTS if "_by_" not in name and not name.endswith("_to_admit")])
def test_each_way_to_list_reads_one_page_of_its_index_in_order(store: Store, name: str) -> None:
    assert [step for step in scans(store, name) if "tasks_live" not in step] == []
    values = dict.fromkeys(re.findall(r":(\w+)", QUERIES[name]))
    rows = store.read.connection.execute(f"explain query plan {QUERIES[name]}", values).fetchall()
    sorts = [row["detail"] for row in rows if "B-TREE" in row["detail"]]
    assert not sorts or name.startswith(("activations_that_ended", "tasks_that_live")), "these are few"


def scans(store: Store, name: str) -> list[str]:
    """Return the steps of a statement that read more rows than requested."""
    values = dict.fromkeys(re.findall(r":(\w+)", QUERIES[name]))
    rows = store.read.connection.execute(f"explain query plan {QUERIES[name]}", values).fetchall()
    return [row["detail"] for row in rows if is_wide(row["detail"]) and not is_narrow(row["detail"])]


def is_wide(detail: str) -> bool:
    """Tell whether a step reads more than was requested: all rows, or all after an id."""
    return detail.startswith("SCAN") or "(rowid>?)" in detail


def is_narrow(detail: str) -> bool:
    """Tell whether a scan covers only an index of live rows, or another step's result."""
    return bool(
        re.search(
            r"INDEX (tasks_(busy|live|live_daemons|unfinished)|activations_admitted)\b|^SCAN (CONSTANT|\(subquery)",
            detail,
        )
    )

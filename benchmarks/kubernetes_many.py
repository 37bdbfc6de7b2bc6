"""200 one-second tasks in pods, 20 at a time: nothing is lost, and what the gateway asks and holds stays small.

The ratio is requests to the API server per task. Threads, descriptors and resident memory of the owner must not grow from when the
first tenth has ended to the end.
"""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.common import Usage, arguments, owner, usage, workspace, write_action, write_agent, write_skill
from benchmarks.containers import base_image
from benchmarks.pods import asked, check_in_pod, namespace
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.states import FINAL_TASK_STATES
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

WANTED = 6  # requests per task
GROWTH = {"threads": 4, "descriptors": 32, "rss": 32 << 10}  # at most; rss in KiB
SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message(n)
"""
EACH = """
import time
from fabric_skill import message, send_message
time.sleep(1)
send_message(message()["payload"])
"""


def ended(gateway: Gateway, activation_id: str, count: int) -> int:
    """Wait until `count` tasks have ended, or the activation has; return how many are known to have."""
    after = found = 0
    while found < count:
        news = gateway.get(f"/activations/{activation_id}/follow", after=after, wait=30.0, pause=0.5)
        if "activation" in news:
            return found
        after = max([after, *(event["number"] for event in news["events"])])
        tasks: dict[str, int] = next(node["tasks"] for node in news["progress"] if node["skill"] == "each")
        found = sum(number for state, number in tasks.items() if state in FINAL_TASK_STATES)
    return found


def shown(before: Usage, after: Usage) -> dict[str, Any]:
    """Return what the owner held early and late."""
    return {name: [getattr(before, name), getattr(after, name)] for name in ("threads", "descriptors", "rss")}


def check_flat(before: Usage, after: Usage) -> None:
    """Raise RuntimeError if the owner holds more at the end."""
    for name, most in GROWTH.items():
        early, late = getattr(before, name), getattr(after, name)
        if late > early + most:
            raise RuntimeError(f"{name} of the owner grew from {early:,} after a tenth to {late:,} at the end")


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=200, workers=20)
    with workspace() as root, namespace():
        # A local task sends the messages, so that every pod is one of those that are counted.
        write_skill(root, "source", SOURCE, image=base_image(), command=["python3", "-c", SOURCE])
        write_action(
            root,
            "each",
            "",
            {
                "type": "job",
                "receives": "message",
                "workers": wanted.workers,
                "image": base_image(),
                "command": ["python3", "-c", EACH],
            },
        )
        write_agent(root, "many", "source", "each")
        for skill in ("source", "each"):  # no images of theirs are looked for
            for path in (root / "skills" / skill / "actions").rglob("*.py"):
                path.unlink()
            (root / "skills" / skill / "actions" / skill).rmdir()
        with owner(root, FABRIC_JOBS_SLOTS=f"kubernetes={wanted.workers + 1}") as gateway:
            target = verbs.save_agent(gateway, Workspace(root), "many", None, executor="kubernetes")
            started = time.perf_counter()
            activation_id = verbs.start(gateway, target, {"payload": wanted.tasks}, root)
            ended(gateway, activation_id, wanted.tasks // 10)
            early = usage(root)
            record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
            seconds = time.perf_counter() - started
            check_in_pod(record)
            late, requests = usage(root), asked(root)
            lost = set(range(wanted.tasks)) - set(record["response"])
            doubled = len(record["response"]) - len(set(record["response"]))
    if lost or doubled:
        raise RuntimeError(f"{len(lost)} records were lost, {doubled} came twice")
    check_flat(early, late)
    per_task = requests / (wanted.tasks + 1)
    result = {"ratio": per_task, "ours": per_task, "baseline": 1, "unit": "API requests/task", "seconds": seconds}
    if wanted.json:
        print(json.dumps({**result, **shown(early, late)}))
        return
    print(f"kubernetes_many: {per_task:.2f} API requests/task (wanted <= {WANTED}), nothing lost, in {seconds:.0f}s")
    for name, (before, after) in shown(early, late).items():
        print(f"  {name}: {before:,} after a tenth, {after:,} at the end (wanted: at most {GROWTH[name]:,} more)")


if __name__ == "__main__":
    main()

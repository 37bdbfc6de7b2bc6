"""1,000 local tasks that sleep, at once: what the owner holds, against what it holds with 10."""

from __future__ import annotations

import json

from benchmarks.common import Usage, arguments, owner, usage, workspace, write_action, write_agent, write_skill
from fabric_jobs.client import activations
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

FEW = 10
SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message(n)
"""


def asleep(tasks: int) -> Usage:
    """Return the usage of a new workspace's owner while `tasks` tasks sleep."""
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        sleep = ["/bin/sh", "-c", "exec sleep 3600"]
        write_action(root, "sleeps", "", {"type": "job", "receives": "message", "workers": tasks, "command": sleep})
        write_agent(root, "many", "source", "sleeps")
        with owner(root, FABRIC_JOBS_SLOTS=f"local={tasks + 1}") as gateway:
            target = verbs.save_agent(gateway, Workspace(root), "many", None)
            activation_id = verbs.start(gateway, target, {"payload": tasks}, root)
            after = running = 0
            while running < tasks:
                news = gateway.get(f"/activations/{activation_id}/follow", after=after, wait=30.0, pause=0.5)
                if "activation" in news:
                    activations.check_ended_well(news["activation"])
                    raise RuntimeError("the tasks have ended, and were to sleep")
                after = max([after, *(event["number"] for event in news["events"])])
                running = sum(node["tasks"].get("ACTIVE", 0) for node in news["progress"] if node["skill"] == "sleeps")
            found = usage(root)
            activations.cancel(gateway, activation_id)
    return found


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=1000)
    few, many = asleep(FEW), asleep(wanted.tasks)
    ratios = {name: getattr(many, name) / getattr(few, name) for name in ("rss", "threads", "descriptors")}
    if wanted.json:
        sizes = {"ours": many.rss, "baseline": few.rss, "unit": "KiB"}
        print(json.dumps({"ratio": max(ratios.values()), **sizes, **ratios}))
        return
    for name, ratio in ratios.items():
        goal = "wanted <= 1.3" if name == "rss" else "wanted 1"
        print(f"many, {name}: {ratio:.2f} x ({getattr(many, name):,} against {getattr(few, name):,}; {goal})")


if __name__ == "__main__":
    main()

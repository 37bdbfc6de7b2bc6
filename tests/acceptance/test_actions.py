"""Actions that were deployed without a skill: a routing finds them, and an activation keeps the version that it began with."""

from __future__ import annotations

from tests.acceptance.live import PROJECT, Live, until
from tests.docker_place import docker, needs_docker
from tests.gateway.test_actions import action, routed
from tests.gateway.test_users import Caller

pytestmark = needs_docker

SERVE = """
import json, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        record = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"payload": record["payload"] * 3}).encode())
http.server.HTTPServer(("", 5000), Handler).serve_forever()
"""


def test_a_job_runs_from_its_image_and_the_newest_version_counts(live: Live) -> None:
    caller = Caller(live)
    caller.post("/actions", action())
    caller.post("/skills", routed())
    invoke = "/skillinvoke/plain/inputs/request?sync=true"
    record = caller.sync(invoke, {"payload": 4})
    assert (record["status"], record["response"], record["executor"]) == ("COMPLETE", "8", "docker")
    caller.post("/actions", action("print('other', end='')"))
    assert caller.sync(invoke, {"payload": 4})["response"] == "other"
    assert caller.get("/actions/apart/logs")["logs"] == "other"


def test_a_daemon_listens_in_its_image(live: Live) -> None:
    caller = Caller(live)
    caller.post("/actions?actionType=daemon", action(SERVE, port="5000"))
    caller.post("/skills", routed("cortex/daemons"))
    record = caller.sync("/skillinvoke/plain/inputs/request?sync=true", {"payload": 4})
    assert (record["status"], record["response"]) == ("COMPLETE", 12)
    live.stop_owner()


def test_a_running_activation_keeps_the_version_it_began_with(live: Live) -> None:
    caller = Caller(live)
    caller.post("/actions", action("import time; time.sleep(1e5)"))
    caller.post("/skills", routed())
    started = caller.post("/skillinvoke/plain/inputs/request", {"payload": 1})["activationId"]
    task, *_ = until(lambda: caller.get("/tasks?state=active")["tasks"], "the task runs")
    own = routed(actions=[{"name": "apart", "type": "job", "image": "x"}])
    caller.post("/skills", own)
    assert caller.call("DELETE", f"{PROJECT}/actions/apart").status == 200
    live.kill_owner()
    caller = Caller(live)  # compiles the plan anew
    assert caller.get(f"/activations/{started}?verbose")["status"] == "PENDING"
    caller.post(f"/activations/{started}/cancel", {})
    assert live.wait(started)["status"] == "CANCELLED"
    until(lambda: not docker("ps", "-aq", "--filter", f"name={task['name']}").stdout, "its container is gone")

"""Classes of Batch and Task APIs in pods: as on this machine, and what only pods have."""

from __future__ import annotations

import json

from tests.acceptance import test_classes as classes
from tests.acceptance.live import records
from tests.acceptance.test_classes import Apis, handler
from tests.acceptance.test_classes import apis_fixture as apis_fixture
from tests.kubernetes_place import needs_cluster, until

pytestmark = needs_cluster

test_reasons = classes.test_the_status_of_a_task_says_why_it_failed
test_on_job_complete = classes.test_a_failing_on_job_complete_is_in_the_status_of_a_job_that_succeeded
test_unusable = classes.test_a_class_that_cannot_be_run_fails_the_job_with_the_reason


def test_workers_share_the_batches_and_see_the_project(apis: Apis) -> None:
    code = """
        def __init__(self, config):
            self.factor = config["number"]["factor"] * json.loads(Path("values.json").read_text())
        def handle_batch(self, payload):
            return [item * self.factor for item in payload]
        def on_job_complete(self):
            Path("values.json").write_text("0")
            print("complete", os.environ["KEY"], Path.cwd().name, flush=True)
    """
    directory = apis.write("scale", handler(code), config={"number": {"factor": 2}})
    (directory / "values.json").write_text("5")
    (directory / ".env").write_text("KEY=$((1 + 1))\n")
    apis.serve()
    status = apis.batches("scale", list(range(100)), 7, workers=2, config={"number": {"factor": 3}})
    assert (status["status"], status["batch_metrics"]["succeeded"], status["executor"]) == (
        "succeeded",
        15,
        "kubernetes",
    )
    found = records(apis.live.ok("activations", "response", status["job_id"]).out)
    assert sorted(found) == [15 * number for number in range(100)]
    said = apis.live.ok("jobs", "logs", status["job_id"]).out
    assert said.count("complete 2 project") == 1
    assert (directory / "values.json").read_text() == "5"


def test_the_in_cluster_addresses_lead_to_the_gateway(apis: Apis) -> None:
    code = """
        import urllib.request
        INSIDE = ("ingressgateway-operator.istio-system.svc.cluster.local", "operator.default.svc.cluster.local:8888")
        class Task:
            def __call__(self, config):
                for host in INSIDE:
                    assert urllib.request.urlopen(f"http://{host}/verifycortex").read() == b"{}"
                body = {"workers": 1, "item_list": {"items": [1, 2], "batch_size": 1}}
                request = urllib.request.Request(f"http://{INSIDE[0]}/batch/next?executor=kubernetes",
                    json.dumps(body).encode(), {"Content-Type": "application/json"})
                shared = os.statvfs("/dev/shm")
                print(shared.f_blocks * shared.f_frsize, urllib.request.urlopen(request).read().decode(), flush=True)
    """
    apis.write("first", code, "TaskAPI", shm_size="128Mi")
    apis.write("next", handler("def __init__(self, config): pass\ndef handle_batch(self): pass"))
    apis.serve()
    status = apis.run("first")
    assert status["status"] == "succeeded", status
    size, _, job = apis.live.ok("jobs", "logs", status["job_id"]).out.partition("| ")[2].partition(" ")
    assert int(size) == 128 << 20

    def look() -> bool:
        found = apis.call("GET", f"/next?jobID={json.loads(job)['job_id']}")["job_status"]
        return bool(found["status"] == "succeeded" and found["executor"] == "kubernetes")

    until(look, "the next job succeeds")

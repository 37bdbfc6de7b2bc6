"""Classes of Batch and Task APIs in containers: as on this machine, and what only containers have."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance import test_classes as classes
from tests.acceptance.test_classes import Apis
from tests.acceptance.test_classes import apis_fixture as apis_fixture
from tests.docker_place import needs_docker
from tests.wheels import requirements, write_wheel

pytestmark = needs_docker

test_workers = classes.test_workers_share_the_batches_and_one_of_them_is_told_the_end
test_reasons = classes.test_the_status_of_a_task_says_why_it_failed
test_next_job = classes.test_code_submits_the_next_job_without_a_token


def test_what_the_code_needs_is_installed_in_the_container(apis: Apis) -> None:
    code = """
        import urllib.request
        import cheese
        INSIDE = ("ingressgateway-operator.istio-system.svc.cluster.local", "operator.default.svc.cluster.local:8888")
        class Task:
            def __call__(self, config):
                Path("values.json").write_text("changed")
                for host in INSIDE:
                    assert urllib.request.urlopen(f"http://{host}/verifycortex").read() == b"{}"
                shared = os.statvfs("/dev/shm")
                assert shared.f_blocks * shared.f_frsize == 128 << 20
                seen = [cheese.VERSION, Path("/tmp/script").read_text(), os.environ["KEY"], Path.cwd().name]
                (ROOT / "seen").write_text(json.dumps(seen))
    """
    directory = apis.write("shop", code, "TaskAPI", shm_size="128Mi")
    write_wheel(directory / "wheels", "cheese", "2.0")
    (directory / "requirements.txt").write_text(requirements(Path("wheels"), "cheese"))
    (directory / "dependencies.sh").write_text("echo first > /tmp/script\n")
    (directory / "conda-packages.txt").write_text("gdal\n")
    (directory / "values.json").write_text("{}")
    (directory / ".env").write_text("KEY=$((1 + 1))\n")
    apis.serve()
    status = apis.run("shop")
    assert status["status"] == "succeeded", status
    assert json.loads((apis.live.root / "seen").read_text()) == ["2.0", "first\n", "2", "project"]
    assert (directory / "values.json").read_text() == "{}"
    (task,) = apis.live.ok("tasks", "list", "--output", "json").value
    said = apis.live.ok("tasks", "logs", task["name"])
    assert "conda-packages.txt is not installed" in said.out + said.err


def test_a_script_that_fails_fails_the_job_with_its_name(apis: Apis) -> None:
    directory = apis.write("shop", "class Task:\n    def __call__(self, config): pass", "TaskAPI")
    (directory / "dependencies.sh").write_text("false\necho never\n")
    apis.serve()
    status = apis.run("shop")
    assert (status["status"], "dependencies.sh failed with exit code 1" in status["reason"]) == ("worker_error", True)

"""One activation runs at a time here: the others say that they wait, but one that a job invokes starts at once."""

from __future__ import annotations

import pytest

from tests.acceptance.live import COMMAND, Live, until

INVOKES = f"""
import subprocess
found = subprocess.run([{str(COMMAND)!r}, "skills", "invoke", "child", "--payload", "1", "--workspace", WORKSPACE],
                       capture_output=True, text=True)
print(found.stdout, end="")
"""


@pytest.fixture
def narrow(live: Live) -> Live:
    live.environment["FABRIC_JOBS_ACTIVATIONS"] = "1"
    return live


def test_those_that_wait_say_for_how_many_and_all_end_well(narrow: Live) -> None:
    gate = narrow.gate("gate")
    narrow.skill("long", f"open({str(gate)!r}).read()")
    narrow.skill("quick", "print('done', end='')")
    first = narrow.detach("long", 1)
    waiting = [narrow.run("skills", "invoke", "quick", "--payload", "1", "--detach") for _ in range(2)]
    assert "It waits for its turn, with none before it." in waiting[0].err
    assert "It waits for its turn, with 1 before it." in waiting[1].err
    ids = [ran.out.strip() for ran in waiting]
    shown = narrow.run("activations", "show", ids[1], "-o", "json").value
    assert (shown["status"], shown["waitsBehind"]) == ("PENDING", 1)
    assert (
        narrow.progress(ids[1])["quick"]["note"] == "waiting for its turn, with 1 before it (at most 1 run at a time)"
    )
    assert narrow.progress(ids[1])["quick"]["tasks"] == {}
    narrow.release(gate)
    assert narrow.wait(first)["status"] == "COMPLETE"
    assert [narrow.wait(each)["response"] for each in ids] == ["done", "done"]


def test_what_a_job_invokes_and_waits_for_does_not_wait_for_the_job(narrow: Live) -> None:
    narrow.skill("child", "print('of the child', end='')")
    narrow.skill("parent", INVOKES.replace("WORKSPACE", repr(str(narrow.root))))
    assert narrow.invoke("parent")["response"] == "of the child\n"


CALLS = """
import urllib.request
said = message()
url = f"{said['apiEndpoint']}/fabric/v4/projects/{said['projectId']}/skillinvoke/child/inputs/request?sync=true"
headers = {"Authorization": f"Bearer {said['token']}", "Content-Type": "application/json"}
print(json.load(urllib.request.urlopen(urllib.request.Request(url, b'{"payload": 1}', headers)))["response"], end="")
"""


def test_the_same_with_its_token_and_plain_http(narrow: Live) -> None:
    narrow.skill("child", "print('of the child', end='')")
    narrow.run("skills", "list")
    narrow.invoke("child")
    narrow.skill("parent", CALLS)
    assert narrow.invoke("parent")["response"] == "of the child"


def test_a_command_that_is_interrupted_while_it_invokes_cancels_what_it_has_begun(live: Live) -> None:
    """The answer to its call has not arrived yet, and may never arrive."""
    gate = live.gate("gate")
    live.skill("long", f"open({str(gate)!r}).read()")
    live.run("skills", "list")
    hook = live.root / "sitecustomize.py"
    hook.write_text(
        "from fabric_jobs.client.gateway import Gateway\n"
        "post = Gateway.post\n"
        "def interrupted(self, path, *rest, **more):\n"
        "    answer = post(self, path, *rest, **more)\n"
        "    if path.startswith('/skillinvoke'):\n"
        "        raise KeyboardInterrupt\n"
        "    return answer\n"
        "Gateway.post = interrupted\n"
    )
    ran = live.run("skills", "invoke", "long", "--payload", "1", PYTHONPATH=str(live.root))
    assert "is cancelled" in ran.err
    (activation,) = until(lambda: live.get("/activations")["activations"], "it is invoked")
    assert activation["status"] == "CANCELLED"

"""Files of records between containers: written by any user, and visible only to their readers."""

from __future__ import annotations

import os
import stat

import pytest

from tests.acceptance.live import until
from tests.docker.live import DOCKERFILE, DockerLive
from tests.docker_place import needs_docker

pytestmark = needs_docker

COUNT = 400
SOURCE = """
from fabric_skill import flush
for n in range(message()["payload"]):
    send_message({"n": n, "pad": "x" * 500})
    if n % 100 == 99:
        flush()
open(ROOT / "gate").read()
"""
# Reports what it sees of the directory of records, where it must not be able to write.
TOTAL = """
import glob, os
own, sender = sorted(glob.glob(os.environ["FABRIC_JOBS_RECORDS"] + "/*/*"), key=lambda path: not glob.glob(path + "/*-total-*"))
try:
    open(os.path.join(sender, "mine"), "w")
    refused = ""
except OSError as error:
    refused = error.strerror
send_message([sum(record["n"] for record in messages()), refused])
"""


@pytest.mark.parametrize("user", ["", "1234:5678"], ids=["root", "another"])
def test_containers_share_the_file_of_a_sender(live: DockerLive, user: str) -> None:
    live.environment["FABRIC_JOBS_INLINE_BYTES"] = "100"
    live.skill("source", SOURCE)
    live.skill("total", TOTAL, receives="stream")
    live.agent("line", ("input", "source"), ("source", "total"), ("total", "output"))
    if user:
        dockerfile = live.root / "skills" / "source" / "actions" / "source" / "Dockerfile"
        dockerfile.write_text(f"{DOCKERFILE}USER {user}\n")
    gate = live.gate("gate")
    activation = live.detach("line", COUNT, kind="agents")
    until(lambda: live.progress(activation)["source"]["out"] == COUNT, "all commits")
    (file,) = [path for path in (live.state / "records").rglob("*-source-*/*") if path.is_file()]
    found = file.stat()
    assert found.st_size > COUNT * 200
    assert stat.S_IMODE(found.st_mode) == 0o644
    assert found.st_uid == (1234 if user else os.getuid())
    live.release(gate)
    record = live.wait(activation)
    assert record["status"] == "COMPLETE", str(record)
    total, refused = record["response"]
    assert (total, refused) == (sum(range(COUNT)), "Read-only file system")
    until(lambda: not file.exists(), "the end of the file")

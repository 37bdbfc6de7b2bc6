"""Managed content with cortex-python, unmodified, inside a job."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fabric_jobs.blobs import PIECE_BYTES
from tests.acceptance.live import Live
from tests.clients.programs import BEGINNING

USE = """
import io, os
from cortex.content import ManagedContentClient

content = ManagedContentClient(client)
project = (params["projectId"],) if VERSION == "6.1.0" else ()
data = open(os.path.join(params["payload"]["directory"], "x"), "rb").read()
said = [
    content.upload("/jobs/form.bin", *project, "form.bin", io.BytesIO(data), "text/csv")["success"],
    content.upload_streaming("jobs/raw b.bin", *project, io.BytesIO(data), "text/x")["success"],
    [answer["key"] for answer in content.upload_directory(params["payload"]["directory"], "jobs/tree", *project)],
    content.download("jobs/form.bin", *project).read() == data,
    content.download("/given/here.txt", *project).read().decode(),
    [content.exists(key, *project) for key in ("jobs/raw b.bin", "jobs/none")],
    content.delete("jobs/form.bin", *project)["success"],
    content.exists("jobs/form.bin", *project),
]
try:
    content.download("jobs/none", *project)
except Exception as error:
    said.append(str(error).startswith("404 "))
if VERSION != "6.1.0":  # which has no list
    said.append([item["Key"] for item in content.list("jobs/")])
    said.append([item["Size"] for item in content.list("jobs/", limit=1, skip=1)])
print(json.dumps(said))
"""


def test_a_job_uses_the_content_of_its_project(live: Live, version: str, python: Path) -> None:
    tree = live.root / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "x").write_bytes(os.urandom(2 * PIECE_BYTES + 1))
    (tree / "sub" / "y").write_bytes(b"y")
    live.ok("content", "upload", "given/here.txt", "-", stdin="from outside")
    live.skill("uses", f"{BEGINNING}VERSION = {version!r}\n{USE}", prelude="", command=[str(python), "main.py"])
    said = json.loads(live.invoke("uses", {"directory": str(tree)})["response"])
    tree_keys = ["jobs/tree/sub/y", "jobs/tree/x"]
    assert [said[0], said[1], sorted(said[2])] == [True, True, tree_keys]
    assert said[3:9] == [True, "from outside", [True, False], True, False, True]
    assert said[9:] == ([] if version == "6.1.0" else [["jobs/raw b.bin", *tree_keys], [1]])
    live.ok("content", "download", "jobs/tree/", "copy")
    assert (live.root / "copy" / "x").read_bytes() == (tree / "x").read_bytes()

"""The runtime layer in a cluster: a ConfigMap with one zip file, which Python imports from, and which starts a pod's program."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import cache
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.program import RUNTIME

PREFIX = "fabric-jobs-runtime-"  # of names
FILE = "runtime.zip"
DIRECTORY = "/opt/fabric-jobs"
PATH = f"{DIRECTORY}/{FILE}"
MOST_BYTES = 1_000_000  # of a ConfigMap; the cluster allows 1 MiB, and base64 and names need some
ALWAYS = (1980, 1, 1, 0, 0, 0)  # the time of every entry: equal files make equal names
TEMPLATE = RUNTIME.parent / "executors" / "warm"  # what forks attempts, here and in pods
WARM = "fabric_warm"  # its modules are started as files; see `fabric_pod.forking`
ENTRY = """import sys

if sys.argv[2:] == ["pool"]:
    from fabric_pod.pool import main
else:
    from fabric_pod import main

main()
"""


@cache
def archive() -> bytes:
    """Return the zip file; raise InvalidInput when it is too large for a ConfigMap."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        names = {path: str(path.relative_to(RUNTIME)) for path in sorted(RUNTIME.rglob("*.py"))}
        names |= {path: f"{WARM}/{path.name}" for path in sorted(TEMPLATE.glob("*.py"))}
        for path, name in names.items():
            file.writestr(zipfile.ZipInfo(name, ALWAYS), path.read_bytes(), zipfile.ZIP_DEFLATED)
        file.writestr(zipfile.ZipInfo("__main__.py", ALWAYS), ENTRY, zipfile.ZIP_DEFLATED)
    found = packed.getvalue()
    if len(found) * 4 // 3 > MOST_BYTES:
        raise InvalidInput(f"the runtime layer has {len(found):,} bytes, which is too much for a ConfigMap.")
    return found


@cache
def name() -> str:
    """Return the name of the ConfigMap: another layer is another ConfigMap."""
    return f"{PREFIX}{hashlib.sha256(archive()).hexdigest()[:12]}"


def config_map() -> dict[str, Any]:
    """Return the ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name(), "labels": {"app.kubernetes.io/managed-by": "fabric-jobs"}},
        "immutable": True,
        "binaryData": {FILE: base64.b64encode(archive()).decode()},
    }

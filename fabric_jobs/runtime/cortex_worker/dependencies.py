"""Installs what the class of an API needs, in a container; on a machine of its own, the executor has done so."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from importlib import invalidate_caches
from typing import Any

from .user_class import Unusable

PIP = ("-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location")
NO_CONDA = "cortex_worker: {name} is not installed, since there is no conda in this image; use requirements.txt."


def install(code: dict[str, Any]) -> None:
    """Run the script, then install packages of conda and of pip; a missing file is skipped. Raises Unusable."""
    if os.path.exists(code["shell"]):
        _run(code["shell"], [shutil.which("bash") or "sh", "-e", code["shell"]])
    if os.path.exists(code["conda"]):
        if shutil.which("conda"):
            _run(code["conda"], ["conda", "install", "--yes", "--quiet", "--file", code["conda"]])
        else:
            print(NO_CONDA.format(name=code["conda"]), file=sys.stderr, flush=True)
    if os.path.exists(code["pip"]):
        _run(code["pip"], [sys.executable, *PIP, "-r", code["pip"]])
    if site.ENABLE_USER_SITE:
        site.addsitedir(site.getusersitepackages())  # pip installs there if the user may not write anywhere else
    invalidate_caches()


def _run(name: str, words: list[str]) -> None:
    try:
        code = subprocess.run(words, check=False).returncode
    except OSError as error:
        raise Unusable(f"{name} needs '{words[0]}', which cannot be run: {error.strerror}.") from None
    if code:
        raise Unusable(f"{name} failed with exit code {code}; its output is in the log.")

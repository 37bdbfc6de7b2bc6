"""Fetches the files of an attempt, and the files of its project, before its program is started."""

from __future__ import annotations

import os

from .gateway import Gateway, checked

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any


def fetch(order: dict[str, Any], gateway: Gateway) -> None:
    """Fetch what the order names, and change to the directory of the project. Raises GaveUp, or OSError for a full disk."""
    gateway.hurry()
    for name in order["files"]:
        answer = checked(gateway.ask("GET", f"files/{name}"))
        with open(os.path.join(order["directory"], name), "wb") as file:
            file.write(answer.body)
    if order["project"]:
        _fetch_project(order["work"], gateway)


def _fetch_project(work: str, gateway: Gateway) -> None:
    import tarfile  # late: few programs see their project

    packed, directory = os.path.join(work, "project.tar"), os.path.join(work, "project")
    with open(packed, "w+b") as file:
        checked(gateway.ask("GET", "project", into=file))
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r|") as tar:
            if hasattr(tarfile, "fully_trusted_filter"):  # absolute links are the author's business
                tar.extractall(directory, filter="fully_trusted")
            else:
                tar.extractall(directory)
    os.unlink(packed)
    os.chdir(directory)

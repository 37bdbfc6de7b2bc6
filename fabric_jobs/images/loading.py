"""Loads built images into a cluster that has no registry, through a command such as `k3s ctr images import -`."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.images import docker_command

VARIABLE = "FABRIC_JOBS_KUBERNETES_LOAD"
SHOWN_LENGTH = 500  # of what a failed command has said last
CUT = (-signal.SIGPIPE, 128 + signal.SIGPIPE)  # exit codes of a command whose output nobody reads any more


def load(command: str, references: Sequence[str]) -> None:
    """Pipe `docker save REFERENCES` into a shell command. Raise PlaceUnavailable with its last words if either fails."""
    docker_command.commands()  # raises a helpful error if docker is missing
    with (
        subprocess.Popen(
            [docker_command.COMMAND, "save", *references], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as saving,
        subprocess.Popen(
            command, shell=True, stdin=saving.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as loading,
    ):
        assert saving.stdout is not None
        saving.stdout.close()  # so that it ends when nobody reads it any more
        said, _ = loading.communicate()
        _, complaint = saving.communicate()
    is_cut = saving.returncode in CUT or b"broken pipe" in complaint.lower()  # by the other command's end
    if saving.returncode and not (loading.returncode and is_cut):
        hint = "Correct what docker says, then build again."
        raise _failed(f"'docker save' ended with exit code {saving.returncode}", complaint, hint)
    if loading.returncode:
        hint = f"Correct {VARIABLE}: a shell command that reads an archive of `docker save` from standard input."
        raise _failed(f"'{command}' ended with exit code {loading.returncode}", said, hint)


def _failed(what: str, said: bytes, hint: str) -> PlaceUnavailable:
    words = said.decode(errors="replace").strip()[-SHOWN_LENGTH:]
    return PlaceUnavailable(
        f"the images were not loaded into the cluster: {what}{f': {words}' if words else ''}.", hint=hint
    )

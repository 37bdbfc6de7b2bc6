"""Starts the shim, detached from its starter, with a lock that shows it is alive."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress

from .service import Shim
from .spawn import OWN_UMASK

BACKLOG = 64


def main(shim: str, directory: str, path: str, limit: str) -> None:
    """Be the shim of that id. `limit` is the limit of open files for programs; empty: that of this process."""
    if os.fork():
        os._exit(0)  # so that neither process waits for the other
    os.umask(OWN_UMASK)
    os.chdir("/")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # meant for programs, which have the defaults
    if limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    lock = os.open(f"{directory}/{shim}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(lock, json.dumps({"socket": path, "pid": os.getpid()}).encode())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(BACKLOG)
        service = Shim(shim, listener)
        sys.stdout.write("ready\n")
        log = f"{directory}/{shim}.log"
        _let_go(log)
        try:
            service.run()
        finally:
            with suppress(OSError):
                os.unlink(path)
                os.unlink(f"{directory}/{shim}.lock")
                if not os.path.getsize(log):
                    os.unlink(log)


def _let_go(log: str) -> None:
    """Release the streams of the starter. Errors go to the log file from now on."""
    sys.stdout.flush()
    descriptor = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)

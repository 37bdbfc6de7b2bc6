"""Code that takes too long is interrupted, or its process is ended. In processes of their own: pytest has a timer, too."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from fabric_jobs.executors.program import RUNTIME

HEAD = """\
import signal, time
from cortex_worker import time_limit
from cortex_worker.time_limit import TimeIsUp, at_most

BEFORE = signal.getsignal(signal.SIGALRM)

def is_clean():
    return signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0) and signal.getsignal(signal.SIGALRM) == BEFORE

"""


def ran(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    words = [sys.executable, "-c", HEAD + textwrap.dedent(code)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


def test_code_in_time_goes_on_and_nothing_is_left_behind() -> None:
    code = """
        with at_most(60):
            print(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
        with at_most(None):
            print(is_clean())
    """
    assert ran(code).stdout == "True\nTrue\n"


def test_code_that_takes_too_long_is_interrupted_though_it_catches_exceptions() -> None:
    code = """
        try:
            with at_most(0.05):
                while True:
                    try:
                        time.sleep(60)
                    except Exception:
                        print("caught")
        except TimeIsUp as error:
            print(error, is_clean())
    """
    assert ran(code).stdout == "it took longer than 0.05 seconds True\n"


def test_the_error_of_the_code_is_its_own() -> None:
    code = """
        try:
            with at_most(60):
                1 / 0
        except ZeroDivisionError:
            print(is_clean())
    """
    assert ran(code).stdout == "True\n"


def test_a_process_that_cannot_be_interrupted_ends_and_says_where_it_was() -> None:
    code = """
        time_limit.GRACE_SECONDS = 0.1
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        with at_most(0.1):
            time.sleep(60)
    """
    found = ran(code)
    assert (found.returncode, found.stdout) == (1, "")
    assert 'File "<string>"' in found.stderr

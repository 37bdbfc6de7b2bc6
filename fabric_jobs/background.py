"""An owner in the background, started by a workspace's first command: `python -m fabric_jobs.background STATE_DIR READY_FD`.

It does not import click, since the command waits for its start.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from pathlib import Path


def main() -> None:
    """Own a state directory until it is idle; write one line to READY_FD: `ready`, `taken`, or why it cannot start."""
    gc.disable()  # collecting garbage would take a fourteenth of the import time, and find nothing
    from fabric_jobs.errors import AlreadyExists, FabricJobsError
    from fabric_jobs.owner import run
    from fabric_jobs.settings import Settings

    gc.freeze()
    gc.enable()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    starter = os.fdopen(int(sys.argv[2]), "wb", buffering=0)

    def say(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody listens, or the line was written before
            starter.write(text.encode())
            starter.close()

    try:
        run(Settings(state_dir=Path(sys.argv[1]), until_idle=True), lambda address: say("ready"))
    except AlreadyExists:
        say("taken")
    except FabricJobsError as error:
        say(str(error))
        sys.exit(str(error))


if __name__ == "__main__":
    main()

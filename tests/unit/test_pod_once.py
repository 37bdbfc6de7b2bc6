"""A launcher beside other containers, which the cluster starts again when it has ended."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.acceptance.live import until
from tests.pods import Pod, a_taker

TERM_BIT = 1 << (signal.SIGTERM - 1)


def test_a_second_start_does_nothing_until_it_is_told_to_end(tmp_path: Path) -> None:
    with a_taker(tmp_path) as taker:
        words = ("/bin/sh", "-c", "echo once; exit 4")
        Pod(tmp_path / "pod", taker.url, *words, once=True).ends(4)
        assert (taker.taken(), taker.is_whole) == ((b"once\n", b""), True)
        posts = list(taker.posts)
        again = Pod(tmp_path / "pod", taker.url, *words, once=True)
        until(lambda: waits(again.process.pid), "it waits")
        assert again.process.poll() is None
        again.process.terminate()
        again.ends(128 + signal.SIGTERM)
        assert (taker.posts, taker.taken()) == (posts, (b"once\n", b""))


def waits(pid: int) -> bool:
    """Tell whether a process handles a request to end."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & TERM_BIT)

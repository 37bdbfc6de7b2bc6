"""Output of programs in containers: every byte once, in order, even if the listening process changes."""

from __future__ import annotations

import pytest

from fabric_jobs.executors.base import AttemptExit
from tests.acceptance.live import until
from tests.docker_place import docker, needs_docker
from tests.executors.contract import Running, ended
from tests.executors.docker_driver import DockerDriver, spec_of
from tests.executors.docker_driver import docker_driver as docker_driver

pytestmark = needs_docker

# Long enough for every kind of piece, with bytes that are not text.
LINES = [
    b"plain",
    b"",
    b"\xff\xfe\x00\x80 no UTF-8",
    b"carriage return\r",
    b"x" * 16_383,
    b"y" * 16_384,
    b"z" * 32_768,
    bytes(byte for byte in range(256) if byte != 10) * 157,
    b"",
    b"last",
]
TEXT = b"\n".join(LINES)
# It prints what it reads, and waits at `gate` between two texts.
PRINTS = """
import sys, threading
place = sys.argv[1]

def say(stream, name):
    stream.buffer.write(open(f"{place}/{name}", "rb").read())
    stream.flush()

def both(name):
    threads = [threading.Thread(target=say, args=(stream, name)) for stream in (sys.stdout, sys.stderr)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

for name in sys.argv[2:]:
    if name == "gate":
        open(f"{place}/done", "w").close()
        open(f"{place}/orders").close()
    else:
        both(name)
"""


class Printing:
    """A program that prints the same parts on both streams, and waits between them."""

    def __init__(self, driver: DockerDriver, *parts: bytes) -> None:
        self.driver = driver
        self.whole = b"".join(parts)
        driver.spec("attempt-1")  # makes the pipes
        place = driver.place("attempt-1")
        self._orders, self._done = place / "orders", place / "done"
        words = []
        for number, part in enumerate(parts):
            (place / str(number)).write_bytes(part)
            words += [str(number), "gate"]
        spec = spec_of("python3", "-c", PRINTS, str(place), *words[:-1], workspace=str(place))
        self.running = Running(spec, driver.executor.start(spec))

    def wait(self) -> None:
        """Wait until it has printed a part."""
        self._done.read_bytes()

    def go_on(self) -> None:
        """Let it print the next part."""
        self._orders.write_bytes(b"")

    def until_copied(self, size: int) -> None:
        """Wait until `size` bytes of each stream have been copied."""
        handle = self.running.handle
        until(lambda: all(len(text) >= size for text in self.driver.output(handle)), f"{size} bytes are copied")

    def ends_whole(self) -> None:
        """Check that all of its output is there, once and in order."""
        assert ended(self.driver.executor, self.running.handle) == AttemptExit(0)
        for text in self.driver.output(self.running.handle):
            assert len(text) == len(self.whole)
            assert text == self.whole


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"], ids=["none", "newline", "both", "two"])
def test_every_byte_comes_as_it_was_printed(driver: DockerDriver, end: bytes) -> None:
    Printing(driver, TEXT + end).ends_whole()


def test_much_output_on_both_streams_is_whole(driver: DockerDriver) -> None:
    Printing(driver, b"".join(b"%07d\n" % number for number in range(655_360))).ends_whole()


def test_what_is_printed_while_nobody_listens_is_read_afterwards(driver: DockerDriver) -> None:
    printing = Printing(driver, TEXT + b"\n", TEXT + b"\nmore\n", TEXT)
    printing.wait()
    printing.until_copied(len(TEXT) + 1)
    driver.executor.close()
    printing.go_on()
    printing.wait()
    driver.executor = driver.anew()
    assert driver.executor.poll(printing.running.handle) is None
    printing.until_copied(2 * len(TEXT) + 7)
    printing.go_on()
    printing.ends_whole()


def test_what_is_printed_until_the_end_while_nobody_listens_is_read_afterwards(driver: DockerDriver) -> None:
    printing = Printing(driver, TEXT, TEXT + b"\n" + TEXT)
    printing.wait()
    container = driver.container(printing.running)
    driver.executor.close()
    printing.go_on()
    docker("wait", container)
    driver.executor = driver.anew()
    printing.ends_whole()


@pytest.mark.parametrize("cut", [1, 16_383, 16_384, 16_385, 20_000, 32_768])
def test_a_line_that_was_cut_off_goes_on_where_it_was(driver: DockerDriver, cut: int) -> None:
    line = b"".join(b"%05d" % number for number in range(8_000))
    printing = Printing(driver, line[:cut], line[cut:] + b"\nnext\n")
    printing.wait()
    printing.until_copied(cut)
    driver.again()
    assert driver.executor.poll(printing.running.handle) is None
    printing.go_on()
    printing.ends_whole()


def test_a_line_that_ends_with_the_program_and_with_a_piece_is_whole(driver: DockerDriver) -> None:
    printing = Printing(driver, b"first\n", b"x" * 16_384)
    printing.wait()
    container = driver.container(printing.running)
    driver.executor.close()
    printing.go_on()
    docker("wait", container)
    driver.executor = driver.anew()
    printing.ends_whole()


def test_listeners_that_come_and_go_lose_nothing(driver: DockerDriver) -> None:
    parts = [b"".join(b"%d-%06d\n" % (part, number) for number in range(3_000)) for part in range(4)]
    printing = Printing(driver, *parts)
    for _ in parts[1:]:
        printing.wait()
        driver.again()
        assert driver.executor.poll(printing.running.handle) is None
        printing.go_on()
    printing.ends_whole()

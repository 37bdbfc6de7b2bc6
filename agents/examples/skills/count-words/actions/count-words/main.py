"""count-words: says of every line how often each word is in it."""

import re
from collections import Counter


def count(line):
    """Return how often each word is in a line, without regard to case."""
    return Counter(re.findall(r"[\w']+", line.lower()))


if __name__ == "__main__":
    from fabric_skill import messages, send_message

    for record in messages():
        send_message({"number": record["number"], "counts": count(record["line"])})

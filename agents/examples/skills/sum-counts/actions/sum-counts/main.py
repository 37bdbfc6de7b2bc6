"""sum-counts: adds the counts of all lines; there is no answer before the last of them has come."""

import json
from collections import Counter

from fabric_skill import messages

lines = 0
words = Counter()
for record in messages(acknowledge="end"):  # a second attempt reads again from the start, so nothing is counted twice
    lines += 1
    words.update(record["counts"])
print(json.dumps({"lines": lines, "words": dict(sorted(words.items()))}))

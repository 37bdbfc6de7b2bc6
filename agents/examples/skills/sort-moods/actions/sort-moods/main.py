"""sort-moods: answers at the end with the numbers of the good and the bad lines."""

import json

from fabric_skill import messages

good, bad = [], []
for record in messages(acknowledge="end"):
    if record["mood"] != 0:
        (good if record["mood"] > 0 else bad).append(record["number"])
print(json.dumps({"good": good, "bad": bad}))

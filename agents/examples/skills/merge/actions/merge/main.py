"""merge: makes one object of a list of objects; what a join delivers is such a list."""

import json

from fabric_skill import message

merged = {}
for part in message()["payload"]:
    merged.update(part)
print(json.dumps(merged))

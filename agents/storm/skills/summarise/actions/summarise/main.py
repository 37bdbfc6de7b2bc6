"""summarise: counts, for every day, the flights that were delayed, cancelled and diverted, and the hours of delay."""

import json
from collections import Counter, defaultdict

from fabric_skill import messages

days = defaultdict(Counter)
for trouble in messages(acknowledge="end"):
    days[trouble["day"]][trouble["outcome"]] += 1
    days[trouble["day"]]["minutes"] += trouble["minutes"]

outcomes = ("cancelled", "diverted", "delayed")
report = {
    f"2013-02-{day:02}": {**{name: counts[name] for name in outcomes}, "hours": round(counts["minutes"] / 60)}
    for day, counts in sorted(days.items())
}
print(json.dumps(report))

"""measure: computes one measure of a list of numbers; which one is a property, so that one skill makes several branches."""

import json
import statistics

from fabric_skill import message

MEASURES = {"mean": statistics.fmean, "median": statistics.median, "range": lambda numbers: max(numbers) - min(numbers)}

sent = message()
name = sent["properties"]["measure"]
print(json.dumps({name: MEASURES[name](sent["payload"]["numbers"])}))

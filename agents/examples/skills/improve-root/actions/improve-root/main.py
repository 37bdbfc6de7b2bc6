"""improve-root: makes the guess of a square root better by one step of Newton's method; the agent goes round until it is good."""

import json

from fabric_skill import message

payload = message()["payload"]
number = payload["number"]
if number <= 0:
    raise SystemExit(f"improve-root: {number} has no root to look for, the number has to be above 0")
guess = payload.get("root", number)  # the first time round there is none
root = (guess + number / guess) / 2
print(json.dumps({"number": number, "root": root, "change": abs(root - guess), "round": payload.get("round", 0) + 1}))

"""split-lines: sends every line of a text, with its number."""

from fabric_skill import message, send_message

lines = message()["payload"]["text"].splitlines()
if not lines:
    raise SystemExit("split-lines: the text is empty")
for number, line in enumerate(lines, start=1):
    send_message({"number": number, "line": line})

"""{{ cookiecutter.name }}: reads records as they arrive and sends each one on, changed.

Change change() and try it:  python3 -c 'import main; print(main.change({"number": 1}))'
Run all of it with the command in docs/{{ cookiecutter.name }}/README.md.
"""

import json


def change(record):
    """Return what the next skill gets for this record."""
    return {"record": record, "characters": len(json.dumps(record))}


if __name__ == "__main__":
    from fabric_skill import logger, messages, send_message

    for record in messages():  # ends when the skill before has ended and every record is read
        send_message(change(record))
    logger.info("no more records")

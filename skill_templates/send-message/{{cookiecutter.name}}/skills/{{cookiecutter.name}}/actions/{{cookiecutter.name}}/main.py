"""{{ cookiecutter.name }}: emits as many records as the payload's count says (10 when it says nothing).

Change records() and try it:  python3 -c 'import main; print(*main.records(3), sep="\n")'
Run all of it with the command in docs/{{ cookiecutter.name }}/README.md.
"""


def records(count):
    """Yield one record after the other; each is any JSON value."""
    for number in range(1, count + 1):
        yield {"number": number, "text": f"record {number} of {count}"}


if __name__ == "__main__":
    from fabric_skill import logger, message, send_message

    payload = message()["payload"]
    count = int(payload.get("count", 10)) if isinstance(payload, dict) else 10
    for record in records(count):
        send_message(record)  # the next skill of the agent has it now, while this loop goes on
    logger.info("sent %d records", count)

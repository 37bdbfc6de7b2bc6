"""read-order: makes an order of a line such as "3 apples"; any other line is an error."""


def order_of(line):
    """Return the order that a line holds; raise ValueError when it holds none."""
    amount, what = line.split(maxsplit=1)
    return {"amount": int(amount), "what": what}


if __name__ == "__main__":
    from fabric_skill import messages, send_message

    for record in messages():
        send_message(order_of(record["line"]))

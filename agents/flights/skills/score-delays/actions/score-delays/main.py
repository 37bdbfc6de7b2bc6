"""score-delays: sends a flight to the output that says what went wrong with it; one that was on time goes nowhere."""


def outcome(flight, threshold_minutes):
    """Return the name of the flight's output, or None when it arrived in time."""
    if flight["dep_time"] is None:
        return "cancelled"
    delay = flight["arr_delay"]
    if delay is None:
        return "diverted"
    return "delayed" if delay > threshold_minutes else None


def main():
    """Read the flights as they come; the next skill has each one while this loop goes on."""
    from fabric_skill import message, messages, send_message

    threshold_minutes = float(message()["properties"].get("threshold_minutes", 30))
    for flight in messages():
        output = outcome(flight, threshold_minutes)
        if output:
            flight["outcome"] = output
            send_message(flight, output)


if __name__ == "__main__":
    main()

"""summarise: counts, for every carrier, the flights that were delayed, cancelled and diverted."""

import json
from collections import Counter, defaultdict


def summary(flights):
    """Return one report per carrier, sorted by carrier; a flight's `outcome` says what became of it."""
    carriers = defaultdict(Counter)
    for flight in flights:
        counts = carriers[flight["carrier"]]
        counts[flight["outcome"]] += 1
        if flight["outcome"] == "delayed":
            counts["minutes"] += flight["arr_delay"]
    return {"carriers": {carrier: report(counts) for carrier, counts in sorted(carriers.items())}}


def report(counts):
    """Return the figures of one carrier; without a delayed flight there is no mean, so it is null."""
    delayed = counts["delayed"]
    return {
        "delayed": delayed,
        "mean_delay_minutes": round(counts["minutes"] / delayed, 1) if delayed else None,
        "cancelled": counts["cancelled"],
        "diverted": counts["diverted"],
    }


def main():
    """Read everything, then print the answer: only then are the records acknowledged."""
    from fabric_skill import messages

    print(json.dumps(summary(messages(acknowledge="end"))))


if __name__ == "__main__":
    main()

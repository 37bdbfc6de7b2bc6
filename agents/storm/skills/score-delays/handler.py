"""Scores flights in batches: what went wrong with each, for people who do not know airlines by their codes."""

import csv

from cortex_internal.lib.log import logger


class Handler:
    def __init__(self, config):
        """Prepare a worker: once for all its batches."""
        self.threshold_minutes = config["threshold_minutes"]
        with open("airlines.csv") as file:
            self.airlines = {row["carrier"]: row["name"] for row in csv.DictReader(file)}

    def handle_batch(self, payload, batch_id):
        """Return one record for each flight that did not arrive in time; such a flight has none."""
        troubles = [trouble for trouble in map(self.trouble, payload) if trouble]
        logger.info("scored a batch", extra={"batch": batch_id, "flights": len(payload), "troubles": len(troubles)})
        return troubles

    def trouble(self, flight):
        """Return what went wrong with a flight, or None."""
        if flight["dep_time"] is None:
            outcome, minutes = "cancelled", 0
        elif flight["arr_delay"] is None:
            outcome, minutes = "diverted", 0
        elif flight["arr_delay"] > self.threshold_minutes:
            outcome, minutes = "delayed", flight["arr_delay"]
        else:
            return None
        return {
            "day": flight["day"],
            "airline": self.airlines[flight["carrier"]],
            "outcome": outcome,
            "minutes": minutes,
        }

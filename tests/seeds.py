"""The numbers that decide what tests choose at random: the same in every run, unless a variable says otherwise."""

from __future__ import annotations

import os

CRASH_SEED = int(os.environ.get("FABRIC_JOBS_CRASH_SEED") or 271_828)

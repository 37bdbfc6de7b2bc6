"""Seeds of the tests' random choices: the same in every run, unless a variable changes them."""

from __future__ import annotations

import os

CRASH_SEED = int(os.environ.get("FABRIC_JOBS_CRASH_SEED") or 271_828)

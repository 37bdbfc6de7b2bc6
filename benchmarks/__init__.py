"""Ratios against baselines measured in the same run."""

from __future__ import annotations

import os

# Installed packages are compiled; where this is set, a checkout is compiled again by every process that is measured.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

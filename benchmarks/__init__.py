"""Ratios against baselines measured in the same run."""

from __future__ import annotations

import os

# Installed packages are compiled once. With this variable, every measured process would compile the checkout again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

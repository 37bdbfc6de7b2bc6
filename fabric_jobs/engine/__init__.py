"""Turns stored intent into attempts, and ended attempts into records."""

from fabric_jobs.engine.engine import Engine

__all__ = ["Engine"]

"""Scaffold, run, wire and stream jobs."""

__version__ = "0.7.0"

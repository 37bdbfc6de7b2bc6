"""Starts the program of a pod and sends its output to the gateway (docs/reference/runtime.md#in-a-pod)."""

from .launcher import main

__all__ = ["main"]

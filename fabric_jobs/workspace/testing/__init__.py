"""Runs the cases of a workspace and compares what came of them with what is expected."""

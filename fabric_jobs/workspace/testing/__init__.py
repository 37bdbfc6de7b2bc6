"""Runs the cases of a workspace and compares the results with the expectations."""

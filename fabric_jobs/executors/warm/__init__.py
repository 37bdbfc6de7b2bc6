"""Warm starts: attempts of a Python program are forked from a process that has imported its packages already."""

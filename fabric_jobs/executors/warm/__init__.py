"""Warm starts: forks attempts of a Python program from a process that has already imported its packages."""

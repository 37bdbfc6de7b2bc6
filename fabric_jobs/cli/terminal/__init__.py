"""The output for people: the live display, tables, exit codes."""

"""What a person sees: the live display, tables, exit codes."""

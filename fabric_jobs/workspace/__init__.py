"""A workspace: its skills and agents, and their problems."""

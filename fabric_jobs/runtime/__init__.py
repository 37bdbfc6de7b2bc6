"""The runtime layer: what an executor makes importable beside the skill's code. It imports the standard library only."""

"""The runtime layer: what an executor makes importable beside the skill's code. Only the standard library, nothing of the package."""

"""The runtime layer, which an executor makes importable beside the skill's code. It imports only the standard library."""

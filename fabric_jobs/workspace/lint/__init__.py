"""Finds all problems of a workspace without running anything."""

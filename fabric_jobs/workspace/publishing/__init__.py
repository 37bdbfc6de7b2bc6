"""Publishes a workspace: a plan first, then the images, the lock file, the definitions and the programs."""

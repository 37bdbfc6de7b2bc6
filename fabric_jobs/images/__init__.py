"""Docker images and registries: what goes into an image, what it is called, and the `docker` command that makes it."""

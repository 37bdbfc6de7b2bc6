"""Docker images and registries: contents and names of images, and the `docker` command that builds them."""

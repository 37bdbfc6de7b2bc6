"""Docker images and registries: build contexts and names of images, and the `docker` command that builds them."""

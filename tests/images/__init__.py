"""Images: names, build contexts, the docker command."""

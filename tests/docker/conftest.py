"""A workspace whose skills run in containers, for every test."""

from tests.docker.live import docker_live as docker_live
from tests.docker.live import images as images

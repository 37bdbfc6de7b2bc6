"""A workspace for every test."""

from tests.acceptance.live import live_fixture as live_fixture

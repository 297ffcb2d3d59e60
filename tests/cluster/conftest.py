"""A real Redis, and registries of nodes beside it."""

from tests.redis_server import redis  # noqa: F401

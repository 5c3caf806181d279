"""Redis and Valkey for kombu: the transports ``redis://``, ``rediss://``, ``redis+socket://``, ``valkey(s)://``.

Also importable by the historic name ``kombu.transport.redis``.
"""

from __future__ import annotations

from kombu_redis.errors import error_classes_t, get_redis_ConnectionError, get_redis_error_classes

__all__ = ("error_classes_t", "get_redis_ConnectionError", "get_redis_error_classes")

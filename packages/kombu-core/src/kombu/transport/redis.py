"""Historic import path of the Redis transport, which ships as kombu-redis."""

from kombu.transport import alias_module

alias_module(__name__, "kombu_redis", "kombu-redis")

"""Historic import path of the memory transport, which ships as kombu-memory."""

from kombu.transport import alias_module

alias_module(__name__, "kombu_memory", "kombu-memory")

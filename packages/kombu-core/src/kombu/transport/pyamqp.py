"""Historic import path of the AMQP transport, which ships as kombu-amqp."""

from kombu.transport import alias_module

alias_module(__name__, "kombu_amqp", "kombu-amqp")

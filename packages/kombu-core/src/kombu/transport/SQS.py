"""Historic import path of the Amazon SQS transport, which ships as kombu-sqs."""

from kombu.transport import alias_module

alias_module(__name__, "kombu_sqs", "kombu-sqs")

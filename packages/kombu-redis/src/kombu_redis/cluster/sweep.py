"""What time brings about on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.log import get_logger
from kombu_redis.sweep import Sweep

from .store import TROUBLE

if TYPE_CHECKING:
    from kombu_redis.channel import Channel

__all__ = ("ClusterSweep",)

logger = get_logger(__name__)


class ClusterSweep(Sweep):
    """What cannot be done because a node is down is done by a later look: who works with others is not disturbed."""

    def look(self, channel: Channel) -> None:
        try:
            super().look(channel)
        except TROUBLE as exc:
            logger.debug("A look after what is due was cut short: %s", exc)

"""Sending and receiving messages, under the historic name of the module."""

from __future__ import annotations

from kombu.consumer import Consumer
from kombu.entity import Exchange, Queue, maybe_delivery_mode
from kombu.producer import Producer

__all__ = ("Consumer", "Exchange", "Producer", "Queue", "maybe_delivery_mode")

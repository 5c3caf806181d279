"""Mailboxes of processes: send a command to some or all nodes of an application, and collect what they answer."""

from __future__ import annotations

from kombu.pidbox.mailbox import REPLY_QUEUE_EXPIRES, Mailbox
from kombu.pidbox.node import Node

__all__ = ("REPLY_QUEUE_EXPIRES", "Mailbox", "Node")

"""A person takes a conversation over: who may, what is recorded of it, and when the assistant answers again."""

from gateway.handover.settings import HandoverSettings

__all__ = ["HandoverSettings"]

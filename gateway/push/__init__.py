"""Messages that programs and operators push into channels: at once, at a time, or again and again."""

from gateway.push.settings import PushSettings

__all__ = ["PushSettings"]

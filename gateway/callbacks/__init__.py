"""Answers and events that are posted to addresses of programs."""

from gateway.callbacks.settings import CallbackSettings

__all__ = ["CallbackSettings"]

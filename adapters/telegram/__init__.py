"""Telegram: everything that the gateway needs to know of it is in this room. ``adapter`` puts it together."""

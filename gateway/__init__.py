"""The core of the gateway: it names no platform and speaks no SQL."""

"""A platform and a backend for the gateway."""

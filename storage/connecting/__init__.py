"""Connections to a database, and what goes wrong with them."""

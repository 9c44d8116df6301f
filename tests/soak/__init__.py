"""Soak test: ten minutes of load while processes are killed, stopped and frozen, and nothing is lost: ``make soak``."""

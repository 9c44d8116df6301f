"""Builds the parts of a process that ``gateway.app`` connects."""

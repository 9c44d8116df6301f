"""Fakes of external services: they speak real HTTP on loopback and enforce the rules of the real service."""

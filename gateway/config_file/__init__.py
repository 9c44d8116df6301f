"""Turns ``gateway.toml`` into a ``Configuration``, and tells everything that is wrong with it."""

from __future__ import annotations

from gateway.config_file.reader import read_configuration

__all__ = ["read_configuration"]

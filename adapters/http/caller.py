"""Names who calls /chat."""

from __future__ import annotations


def caller_name(owner: str, network: str) -> str:
    """Returns the name that limits and budgets know a caller by: its API key's digest, or its network without keys."""
    return f"key {owner}" if owner else f"address {network}"

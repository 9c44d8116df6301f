"""Whose a part of the places and of the queue is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Who takes a place. The workspace has a share of all places, and the caller a share of the workspace's."""

    caller: str = ""
    workspace: str = ""
    """Empty where workspaces have no shares: a caller then takes from all places."""


NOBODY = Share()

"""Whose a part of the places and of the queue is."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """Who takes a place. The workspace has a share of all places, and the caller a share of the workspace's.

    A tuple, as it is looked up many times on a message's way: Python hashes and compares tuples several times as fast.
    """

    caller: str = ""
    workspace: str = ""
    """Empty where workspaces have no shares: a caller then takes from all places."""


NOBODY = Share()

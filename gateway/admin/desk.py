"""What the operator's pages work on: the ports, and what is plugged in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.admin.settings import AdminSettings
from gateway.catalogue import Catalogue
from gateway.ports import Check, Inbox
from gateway.storing import Store

Checks = Callable[[], Mapping[str, Sequence[Check]]]
"""Asks each platform, the backend and the database whether they answer: what each of them says, by its name.

Any thread; does I/O; raises nothing, and takes no longer than an operator waits for a page.
"""


@dataclass(frozen=True, slots=True)
class Desk:
    settings: AdminSettings
    inbox: Inbox
    store: Store
    catalogue: Catalogue
    checks: Checks
    platforms: Sequence[str]
    """The names of those that are switched on here."""
    backend: str
    """Its name, as ``checks`` has it."""
    assets: str
    """Where the files are that pages load, relative to the gateway's own root: what ``Assets.root`` says."""
    about: str = ""
    """Which backend it is, in words for people, without a secret: ``Assistant.description``."""

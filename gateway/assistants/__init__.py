"""Backends: ways to reach an assistant, one file each. The only room that speaks to the vendor's SDK."""

from __future__ import annotations

from typing import Protocol

from gateway import logs
from gateway.errors import SettingsError
from gateway.ports import Assistant
from gateway.settings import Settings
from gateway.tools import ToolBox

log = logs.get(__name__)


class Facts(Protocol):
    """What a backend remembers for all processes and for good: the store's facts, on the engine's loop."""

    async def recall(self, name: str) -> str | None: ...

    async def remember(self, name: str, value: str) -> str:
        """The first value kept under a name wins and is returned."""
        ...


def build(settings: Settings, toolbox: ToolBox, facts: Facts) -> Assistant:
    """The backend that the settings choose. No I/O. Raises SettingsError.

    Only what it needs is imported: the SDK costs half a second and 50 MB, which the offline assistant does without.
    """
    if missing := settings.missing():
        raise SettingsError(f"The backend {settings.backend} needs {' and '.join(missing)} to be set.")
    if settings.backend == "offline":
        from gateway.assistants.offline import Offline  # noqa: PLC0415  # see above

        return Offline()
    from gateway.assistants.online import build_online  # noqa: PLC0415  # see above

    return build_online(settings, toolbox, facts)

"""Assistant backends, and the choice among them. Only this package imports the ``openai`` SDK."""

from __future__ import annotations

from typing import Protocol

from gateway import logs
from gateway.assistants.instructions import Instructions
from gateway.assistants.requests.parameters import refused
from gateway.domain.errors import SettingsError
from gateway.domain.packages import Offer, offers_by_name, reason_of
from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.settings.values import BACKEND_ENTRY_POINTS, BACKENDS
from gateway.tools import ToolBox

log = logs.get_logger(__name__)


class SharedValues(Protocol):
    """Values that a backend shares with all processes and keeps for good: the key-value store, on the worker's loop."""

    async def get_value(self, name: str) -> str | None: ...

    async def set_value_if_absent(self, name: str, value: str) -> str:
        """Stores the value unless the name has one already. Returns the stored value."""
        ...


class NoSharedValues:
    """Shared values for an assistant that runs nothing: always empty, and nothing is kept."""

    async def get_value(self, name: str) -> None:  # noqa: ARG002  # the protocol's
        return None

    async def set_value_if_absent(self, name: str, value: str) -> str:  # noqa: ARG002  # likewise
        return value


def instructions_of(settings: Settings) -> Instructions:
    """Returns the instructions, as they are filled for each run."""
    return Instructions(settings.assistant_instructions, settings.assistant_name, settings.assistant_time_zone)


def build(settings: Settings, toolbox: ToolBox, shared_values: SharedValues) -> Assistant:
    """Returns the backend that the settings choose. No I/O. Raises SettingsError.

    Imports only what that backend needs: the SDK takes half a second and 50 MB, which the offline one does not need.
    """
    if missing := settings.missing():
        raise SettingsError(f"The backend {settings.backend} needs {' and '.join(missing)} to be set.")
    if names := refused(settings):
        raise SettingsError(f"The backend {settings.backend} takes no {' and no '.join(map(str.upper, names))}.")
    instructions_of(settings).check()
    packaged = offers_by_name(BACKEND_ENTRY_POINTS, BACKENDS)
    if toolbox.hosted and settings.backend != "responses":
        raise SettingsError(
            f"mcp.{toolbox.hosted[0].name}.hosted: only with ASSISTANT_BACKEND=responses the assistant's server calls "
            f"tools itself, and here it is {settings.backend}. Remove it, so that the gateway calls them."
        )
    if offer := packaged.get(settings.backend):
        return _build_packaged(offer, settings, toolbox, shared_values)
    if settings.backend == "offline":
        from gateway.assistants.offline import OfflineBackend  # noqa: PLC0415  # see above

        return OfflineBackend()
    from gateway.assistants.factory import build_online  # noqa: PLC0415  # see above

    return build_online(settings, toolbox, shared_values)


def _build_packaged(offer: Offer, settings: Settings, toolbox: ToolBox, shared_values: SharedValues) -> Assistant:
    build = offer.load("a backend")
    try:
        built: Assistant = build(settings, toolbox, shared_values)
        name = built.name
    except SettingsError:
        raise
    except Exception as exc:
        raise offer.error(f"has a backend that cannot be built: {reason_of(exc)}") from exc
    if name != offer.name:
        raise offer.error(f"has a backend with another name than its entry point: {name!r}")
    return built

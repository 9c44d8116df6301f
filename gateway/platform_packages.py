"""Platforms that installed packages bring: each is used like those in ``adapters``, without an edit of the gateway."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.bots import platform_of
from gateway.domain.errors import SettingsError
from gateway.domain.packages import Offer, offers_by_name, reason_of
from gateway.settings import EnvironmentSettings, Load, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.configuration import CurrentConfiguration
    from gateway.ports.platform import Adapter
    from storage.store import SqlStore

    Build = Callable[[Settings, SqlStore, Load, CurrentConfiguration], Adapter | None]

ENTRY_POINTS = "gateway.adapters"
"""The group of entry points by which an installed package offers platforms. Their names are those of the adapters."""


@dataclass(frozen=True, slots=True)
class PlatformPackage:
    """What such an entry point names."""

    settings: type[EnvironmentSettings]
    build: Build
    """Returns the adapter if the platform is enabled; as the builders in ``gateway.wiring.platforms``. Called at start,
    where it imports what is not needed while the platform is not enabled. Raises SettingsError."""


@dataclass(frozen=True, slots=True)
class FoundPlatform:
    """A platform of an installed package."""

    offer: Offer
    package: PlatformPackage

    def build(
        self, settings: Settings, store: SqlStore, load: Load, configuration: CurrentConfiguration
    ) -> Adapter | None:
        """Returns the adapter if the platform is enabled. Raises SettingsError, which names the package."""
        try:
            adapter = self.package.build(settings, store, load, configuration)
            name = self.offer.name if adapter is None else adapter.name
        except SettingsError:
            raise
        except Exception as exc:
            raise self.offer.error(f"has a platform that cannot be built: {reason_of(exc)}") from exc
        if platform_of(name) != self.offer.name:
            raise self.offer.error(f"has an adapter with another name than its entry point: {name!r}")
        return adapter


def find_platforms(taken: Collection[str]) -> Mapping[str, FoundPlatform]:
    """Returns the platforms of installed packages by name. Imports them. Raises SettingsError, which names the package.

    ``taken``: the names that they must not have.
    """
    return {name: FoundPlatform(offer, _load(offer)) for name, offer in offers_by_name(ENTRY_POINTS, taken).items()}


def _load(offer: Offer) -> PlatformPackage:
    loaded = offer.load("a platform")
    if not isinstance(loaded, PlatformPackage):
        raise offer.error(f"offers a platform that is no PlatformPackage but a {type(loaded).__name__}")
    return loaded

"""The settings of the letterbox, and the object that the entry point names. Imported by every gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import DirectoryPath

from gateway.platform_packages import PlatformPackage
from gateway.settings import EnvironmentSettings, Load, Settings, SetupGuide
from gateway.settings.values import OwnKey

if TYPE_CHECKING:
    from gateway.configuration import CurrentConfiguration
    from gateway.ports.platform import Adapter
    from storage.store import SqlStore


class LetterboxSettings(EnvironmentSettings):
    """Settings of the letterbox."""

    prefixes = ("LETTERBOX_",)
    setup_guide = SetupGuide("letterbox", "the letterbox", "Make a folder and a secret.", ("letterbox_folder",))

    letterbox_folder: DirectoryPath | None = None
    """Where replies are put. It switches the letterbox on."""
    letterbox_secret: OwnKey | None = None
    """What senders prove themselves with, in the header ``Letterbox-Secret``."""

    @property
    def on(self) -> bool:
        return self.letterbox_folder is not None


def build(_: Settings, __: SqlStore, load: Load, ___: CurrentConfiguration) -> Adapter | None:
    """Returns the adapter if the letterbox is on."""
    settings = load(LetterboxSettings)
    if settings.letterbox_folder is None:
        return None
    from .adapter import LetterboxAdapter  # noqa: PLC0415  # only what is used takes memory

    secret = settings.letterbox_secret.get_secret_value() if settings.letterbox_secret else ""
    return LetterboxAdapter(settings.letterbox_folder, secret)


letterbox = PlatformPackage(LetterboxSettings, build)

"""The base of the settings of platforms on which there can be several bots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr

from gateway.domain.bots import bot_name
from gateway.settings.base import EnvironmentSettings

TOKEN = "token"  # noqa: S105  # a name


class PlatformSettings(EnvironmentSettings):
    """Settings of one bot: of the one without a name, or of one of ``[[bots]]``."""

    platform: ClassVar[str]
    """The platform's name, with which the paths of its addresses begin too."""
    bot_settings: ClassVar[frozenset[str]]
    """Settings that say which bot it is; another bot there takes none of them over."""

    _bot: str = PrivateAttr("")

    @classmethod
    def of_bot(cls, bot: str, values: Mapping[str, Any]) -> Self:
        """Returns the settings of the bot with this name. Raises ValidationError.

        ``values``: its own, by setting, in place of those of the bot without a name.
        """
        return cls(**values).for_bot(bot)

    def for_bot(self, bot: str) -> Self:
        """Returns the same values as those of the bot with this name; of the one without for ""."""
        made = self.model_copy()
        made._bot = bot  # noqa: SLF001  # its own class
        return made

    @property
    def bot(self) -> str:
        """The bot's name; empty for the one without."""
        return self._bot

    @property
    def name(self) -> str:
        """The name of its adapter, see ``bot_name``."""
        return bot_name(self.platform, self._bot)

    def path(self, path: str) -> str:
        """Returns this bot's address in place of the platform's: of ``/slack/events``, ``/slack/NAME/events``."""
        return path.replace(f"/{self.platform}/", f"/{self.platform}/{self._bot}/", 1) if self._bot else path

    def where(self, setting: str) -> str:
        """Returns where the operator sets it for this bot, for advice: the variable, or the key of ``[[bots]]``."""
        return f"{self.key(setting)} of the bot {self._bot}" if self._bot else setting.upper()

    @classmethod
    def key(cls, setting: str) -> str:
        """Returns the name that a setting has in ``[[bots]]``."""
        platform = cls.platform
        return TOKEN if setting == cls.token_setting() else setting.removeprefix(f"{platform}_")

    @classmethod
    def token_setting(cls) -> str:
        """Returns the setting with the bot's token."""
        return f"{cls.platform}_bot_{TOKEN}"

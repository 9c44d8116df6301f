"""Settings of pushed messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from gateway.settings import EnvironmentSettings
from gateway.settings.values import OwnKey, split_list


class PushSettings(EnvironmentSettings):
    """Settings of messages that programs push into channels."""

    prefixes = ("PUSH_",)
    lists: ClassVar[Mapping[str, str]] = {"push_api_keys": ","}

    push_api_keys: OwnKey | None = None
    """Comma-separated keys with which programs may write into any channel, by ``POST /messages``. Unset: nobody may."""
    push_missed: Literal["skip", "once"] = "once"
    """What becomes of scheduled messages that were due while no process ran: nothing, or one message for all ticks of
    a schedule that were missed."""

    @property
    def keys(self) -> tuple[str, ...]:
        return split_list(self.push_api_keys.get_secret_value()) if self.push_api_keys else ()

    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets(), *self.keys)

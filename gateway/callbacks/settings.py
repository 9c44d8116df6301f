"""Settings of what is posted to addresses of programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import PositiveFloat, PositiveInt, SecretStr, field_validator

from gateway.callbacks.addresses import AddressRule
from gateway.callbacks.signing import read_key
from gateway.domain.errors import MalformedRequest
from gateway.settings import EnvironmentSettings
from gateway.settings.values import OwnKey, read_networks, split_list

EVENTS = ("turn.answered", "turn.failed", "feedback.given", "conversation.handed_over", "conversation.resumed")
MOST_KEYS = 2


class CallbackSettings(EnvironmentSettings):
    """Settings of answers and events that are posted to addresses of programs."""

    prefixes = ("CALLBACK_",)
    lists: ClassVar[Mapping[str, str]] = {
        "callback_signing_keys": ",",
        "callback_private_networks": ",",
        "callback_events": ",",
    }

    callback_signing_keys: OwnKey | None = None
    """``whsec_…``, with which callbacks are signed after Standard Webhooks; two with a comma between them while
    receivers change from one to the other. Unset: nothing is posted, and ``callback_url`` is refused."""
    callback_private_networks: str = ""
    """Networks and addresses that are not on the internet and may be posted to, comma-separated: ``10.0.0.0/8,
    127.0.0.1``. Then ``http://`` is allowed too."""
    callback_hours: PositiveFloat = 12.0
    """Hours for which a callback is tried again before it becomes a dead letter."""
    callback_max_waiting: PositiveInt = 100
    """How many callbacks of one thread may wait for the first of them; those beyond become dead letters."""
    callback_events_url: str | None = None
    """Where the events of all platforms are posted."""
    callback_events: str = ",".join(EVENTS)
    """Which events are posted there, comma-separated."""

    @field_validator("callback_signing_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None and not 1 <= len([*map(read_key, split_list(keys.get_secret_value()))]) <= MOST_KEYS:
            raise ValueError("must be one key, or two with a comma between them")
        return keys

    @field_validator("callback_private_networks")
    @classmethod
    def _are_networks(cls, listed: str) -> str:
        try:
            read_networks(listed)
        except ValueError as exc:
            raise ValueError(f"cannot be read: {exc}") from None
        return listed

    @field_validator("callback_events")
    @classmethod
    def _are_events(cls, listed: str) -> str:
        if any(name not in EVENTS for name in split_list(listed)):
            raise ValueError(f"must be a list of {', '.join(EVENTS)}")
        return listed

    @property
    def keys(self) -> tuple[bytes, ...]:
        text = self.callback_signing_keys.get_secret_value() if self.callback_signing_keys else ""
        return tuple(map(read_key, split_list(text)))

    @property
    def rule(self) -> AddressRule:
        return AddressRule(read_networks(self.callback_private_networks))

    @property
    def events(self) -> frozenset[str]:
        """The events that are posted; none without an address."""
        return frozenset(split_list(self.callback_events)) if self.callback_events_url else frozenset()

    def problems(self) -> tuple[str, ...]:
        """Returns what does not fit together, a line each."""
        if self.callback_events_url is None:
            return ()
        if not self.keys:
            return ("CALLBACK_EVENTS_URL: needs CALLBACK_SIGNING_KEYS.",)
        try:
            self.rule.check_url(self.callback_events_url)
        except MalformedRequest as exc:
            return (str(exc).replace("`callback_url`", "CALLBACK_EVENTS_URL:"),)
        return ()

    def secrets(self) -> tuple[str, ...]:
        text = self.callback_signing_keys.get_secret_value() if self.callback_signing_keys else ""
        return (*super().secrets(), *split_list(text))

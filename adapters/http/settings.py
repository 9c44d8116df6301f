"""Settings of /chat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator

from gateway.settings import EnvironmentSettings
from gateway.settings.values import JoinSeconds, OwnKey, split_list

NAME = "http"
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.\-]*://[A-Za-z0-9.\-]+(:\d+)?")


class HttpSettings(EnvironmentSettings):
    """Settings of POST /chat."""

    prefixes = ("GATEWAY_", "CHAT_", "CORS_")
    lists: ClassVar[Mapping[str, str]] = {"gateway_api_keys": ",", "cors_origins": ","}

    gateway_api_keys: OwnKey | None = None
    """Comma-separated. When set, every caller of ``/chat`` must send one as a bearer token."""
    cors_origins: str = "*"
    """The origins whose pages may call ``/chat`` from a browser, comma-separated; ``*`` for all."""
    chat_wait_seconds: PositiveFloat = 120.0
    """How long a caller of ``/chat`` waits for the reply, in seconds; then it gets 504 and the ``turn_id``."""
    chat_join_seconds: JoinSeconds = 0.0
    """Seconds that a message in an existing thread waits for the next one of its caller and ``user``, to be answered
    with it: both requests get that one turn. 0: each message is a turn."""
    chat_requests_per_minute: NonNegativeInt = 600
    """Messages for each API key, or for each client address if there are no keys, counted over all processes; 0: no
    limit."""
    chat_adopts_threads: bool | None = None
    """Whether a caller may continue a thread at the backend that the gateway does not know, by its id. Unset: yes,
    unless several keys are set."""
    chat_reads_per_minute: NonNegativeInt = 600
    """How often each caller may look at, cancel or forget turns and threads, counted in each process; 0: no limit."""
    chat_max_file_bytes: PositiveInt = 20_000_000
    """The largest file that a caller may send, in bytes."""
    trusted_proxies: NonNegativeInt = 0
    """How many of your own proxies add to ``X-Forwarded-For`` and ``X-Forwarded-Proto``; 0: clients connect
    directly."""

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: str) -> str:
        if not all(ORIGIN.fullmatch(origin) for origin in split_list(origins)):
            raise ValueError("must be * or a list of origins such as https://example.com, with commas between them")
        return origins

    @property
    def keys(self) -> tuple[str, ...]:
        return split_list(self.gateway_api_keys.get_secret_value()) if self.gateway_api_keys else ()

    def with_keys(self, keys: Sequence[str]) -> Self:
        """Returns these settings with more keys."""
        listed = ",".join(dict.fromkeys((*self.keys, *keys)))
        return self.model_copy(update={"gateway_api_keys": SecretStr(listed) if listed else None})

    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets(), *self.keys)

"""Bot tokens: of the one workspace in the settings, or of each workspace that has installed the app."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from http.client import HTTPException
from threading import Lock
from typing import Protocol
from weakref import WeakValueDictionary

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError, SlackTokenRotationError
from slack_sdk.oauth.installation_store import Bot
from slack_sdk.oauth.token_rotation import TokenRotator

from adapters.slack.installations import Installations, installation_name
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from adapters.slack.token_cipher import TokenCipher
from gateway import logs
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.domain.models import Address
from gateway.ports.store import KeyValueStore

MOST_TEAMS = 1000
"""Companies whose people write in channels that are shared with them."""
KNOWN_SECONDS = 60.0
"""How long an installation is cached."""
RENEW_MINUTES = 120
"""A token that expires within this time is renewed. Slack's tokens live 12 hours."""
LEAST_SECONDS = 60
"""A token that expires within this time is not used any more."""
CALL_SECONDS = 10
LEASE_SECONDS = 60.0
"""Longer than a renewal takes: only the process with the lease uses the refresh token."""
WAIT_SECONDS = 15.0
LOOK_SECONDS = 0.1
TRY_AGAIN_SECONDS = 30.0
FINAL = frozenset({"invalid_refresh_token", "token_revoked", "account_inactive"})
"""Errors after which the app has to be installed again
(docs.slack.dev/reference/methods/oauth.v2.access#errors)."""

log = logs.get_logger(__name__)


class Workspaces(Protocol):
    """The workspaces that have the app. Raises DeliveryError only: a permanent one if the app is not installed."""

    async def find(self, address: Address) -> Workspace:
        """Returns the workspace of an address, with a valid token. On the worker's loop; usually no I/O."""
        ...

    def look_up(self, address: Address) -> Workspace:
        """Does the same, for other threads. Does I/O."""
        ...

    def drop(self, team: str) -> None:
        """Drops a workspace from the cache: Slack does not accept its token. No I/O."""
        ...


class OneWorkspace:
    """The workspace whose token is in the settings."""

    def __init__(self, token: str) -> None:
        self._of_team = lru_cache(MOST_TEAMS)(lambda team: Workspace(team, token))

    async def find(self, address: Address) -> Workspace:
        return self._of_team(address.get("team", ""))

    def look_up(self, address: Address) -> Workspace:
        return self._of_team(address.get("team", ""))

    def drop(self, team: str) -> None:
        """The operator has to change the token, and to restart."""


@dataclass(frozen=True, slots=True)
class CachedWorkspace:
    """A workspace as it was found, and until when that is used (``time.monotonic``)."""

    workspace: Workspace
    until: float


class InstalledWorkspaces:
    """The workspaces and organisations that have installed the app, as stored in the database."""

    def __init__(self, settings: SlackSettings, memory: KeyValueStore) -> None:
        self._installations = Installations(memory, TokenCipher(settings.encryption_keys))
        self._rotation = Rotation(settings, memory, self._installations)
        self._known: dict[str, CachedWorkspace] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, address: Address) -> Workspace:
        team = address.get("team", "")
        known = self._recall(team)
        if known is not None:
            return known
        one_at_a_time = self._asking.setdefault(team, asyncio.Lock())
        async with one_at_a_time:
            known = self._recall(team)
            return await asyncio.to_thread(self.look_up, address) if known is None else known

    def look_up(self, address: Address) -> Workspace:
        team, enterprise = address.get("team", ""), address.get("enterprise", "")
        try:
            bot = self._rotation.current(partial(self._read, team, enterprise))
        except StoreUnavailable as exc:
            raise DeliveryError(str(exc), retry_after=TRY_AGAIN_SECONDS) from exc
        workspace = Workspace(team, bot.bot_token, bot.bot_user_id or "", bot.bot_id or "")
        self._known[team] = CachedWorkspace(workspace, time.monotonic() + KNOWN_SECONDS)
        return workspace

    def drop(self, team: str) -> None:
        self._known.pop(team, None)

    def _recall(self, team: str) -> Workspace | None:
        known = self._known.get(team)
        return known.workspace if known is not None and time.monotonic() < known.until else None

    def _read(self, team: str, enterprise: str) -> Bot:
        bot = self._installations.find_bot(enterprise_id=enterprise, team_id=team)
        if bot is None:
            self.drop(team)
            raise DeliveryError(f"The app is not installed in the workspace {team}. It can be, at /slack/install.")
        return bot


Read = Callable[[], Bot]
"""The installation as it is stored now. Raises DeliveryError when there is none, StoreUnavailable."""


class Rotation:
    """Exchanges tokens before they end, where the app's tokens end at all.

    Slack takes a refresh token once (docs.slack.dev/authentication/using-token-rotation), so a lease lets one process
    show it, and what came back is kept before anybody else may look. A process that dies between Slack's answer and the
    database's takes the only new refresh token with it. Nothing can close that gap: the workspace has to install the
    app again before the present token ends, and the log says so.
    """

    def __init__(self, settings: SlackSettings, memory: KeyValueStore, installations: Installations) -> None:
        self._memory = memory
        self._installations = installations
        self._rotator = _rotator(settings)
        self._unsaved: dict[str, Bot] = {}
        """What Slack has given us and the database has not taken yet."""
        self._lock = Lock()

    def current(self, read: Read) -> Bot:
        """The installation with a token that lives on. Raises DeliveryError, StoreUnavailable."""
        bot = self._kept(read())
        if not _expires_soon(bot):
            return bot
        lease, owner = f"{installation_name(bot)}:rotation", secrets.token_hex(8)
        give_up = time.monotonic() + WAIT_SECONDS
        while not self._memory.try_lock(lease, owner, LEASE_SECONDS):
            if _is_usable(bot):
                return bot
            if time.monotonic() > give_up:
                raise DeliveryError("Another process is renewing Slack's token.", retry_after=TRY_AGAIN_SECONDS)
            time.sleep(LOOK_SECONDS)
            bot = read()
        try:
            return self._renewed(read)
        finally:
            with suppress(StoreUnavailable):  # it expires
                self._memory.try_lock(lease, owner, 0)

    def _renewed(self, read: Read) -> Bot:
        """Renews the token. The caller holds the lease."""
        bot = read()
        if not _expires_soon(bot):
            return bot
        try:
            rotated = self._exchange(bot)
        except DeliveryError as exc:
            log.warning("Slack token not renewed", installation=installation_name(bot), error=str(exc))
            if _is_usable(bot):
                return bot
            raise
        with self._lock:
            self._unsaved[installation_name(bot)] = rotated
        return self._kept(read())

    def _exchange(self, bot: Bot) -> Bot:
        try:
            rotated = self._rotator.perform_bot_token_rotation(bot=bot, minutes_before_expiration=RENEW_MINUTES)
        except SlackTokenRotationError as exc:
            code = str(exc.api_error.response.get("error"))
            message = f"Slack did not renew the token of this installation: {code}."
            if code in FINAL:
                raise DeliveryError(f"{message} Install the app again, at /slack/install.") from None
            raise DeliveryError(message, retry_after=TRY_AGAIN_SECONDS) from None
        except (OSError, HTTPException, SlackClientError, KeyError) as exc:
            message = f"Slack did not renew the token of this installation: {type(exc).__name__}."
            raise DeliveryError(message, retry_after=TRY_AGAIN_SECONDS) from None
        if rotated is None:
            raise DeliveryError("Slack sent no bot token.", retry_after=TRY_AGAIN_SECONDS)
        return rotated

    def _kept(self, stored: Bot) -> Bot:
        """Returns the newer of the stored token and a renewed one, which is stored if the database can be reached."""
        name = installation_name(stored)
        with self._lock:
            bot = self._unsaved.get(name)
            if bot is None:
                return stored
            if bot.installed_at != stored.installed_at:  # it was installed again meanwhile
                del self._unsaved[name]
                return stored
            try:
                self._installations.save_bot(bot)
            except StoreUnavailable as exc:
                log.warning(
                    "renewed Slack token not stored yet; it is lost if this process ends",
                    installation=name,
                    error=str(exc),
                )
            else:
                del self._unsaved[name]
            return bot


def _rotator(settings: SlackSettings) -> TokenRotator:
    assert settings.slack_client_id is not None  # noqa: S101  # both: settings.installable
    assert settings.slack_client_secret is not None  # noqa: S101
    return TokenRotator(
        client_id=settings.slack_client_id,
        client_secret=settings.slack_client_secret.get_secret_value(),
        client=WebClient(base_url=settings.slack_api_url, timeout=CALL_SECONDS, retry_handlers=[]),
    )


def _expires_soon(bot: Bot) -> bool:
    return bot.bot_token_expires_at is not None and bot.bot_token_expires_at <= time.time() + RENEW_MINUTES * 60


def _is_usable(bot: Bot) -> bool:
    return bot.bot_token_expires_at is None or bot.bot_token_expires_at > time.time() + LEAST_SECONDS

"""The workspaces and organisations that have installed the app, as the gateway's database has them."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime

from slack_sdk.oauth.installation_store import Bot, Installation, InstallationStore

from adapters.slack.reply_target import NAME
from adapters.slack.token_cipher import TokenCipher
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import KeyValueStore

TOKEN_FIELDS = ("bot_token", "bot_refresh_token")
"""What is encrypted of an installation."""


def installation_name(bot: Bot) -> str:
    """Returns the name an installation is stored by: the organisation's if it is for all its workspaces."""
    return _name(str(bot.enterprise_id if bot.is_enterprise_install else bot.team_id))


def _name(owner: str) -> str:
    return f"{NAME}:installation:{owner}"


class Installations(InstallationStore):
    """Slack's InstallationStore on the gateway's database. Bot tokens only. Raises StoreUnavailable."""

    def __init__(self, memory: KeyValueStore, cipher: TokenCipher) -> None:
        self._memory = memory
        self._cipher = cipher

    def save(self, installation: Installation) -> None:
        self.save_bot(installation.to_bot())

    def save_bot(self, bot: Bot) -> None:
        self._memory.set_value(installation_name(bot), self._sealed(bot))

    def find_bot(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        is_enterprise_install: bool | None = False,
    ) -> Bot | None:
        """Returns the workspace's own installation, or else that of its organisation.

        Also raises DeliveryError, for a token that cannot be decrypted.
        """
        for owner in (None if is_enterprise_install else team_id, enterprise_id):
            kept = self._memory.get_value(_name(owner)) if owner else None
            if kept is not None:
                return self._opened(kept)
        return None

    def remove(self, owner: str, *, at: float) -> bool:
        """Deletes what the workspace or organisation installed before ``at`` (seconds since 1970).

        Returns False if there is no such installation, or a newer one: Slack's events may be late.
        """
        kept = self._memory.get_value(_name(owner))
        return (
            kept is not None
            and Bot(**json.loads(kept)).installed_at <= at  # its tokens need not be readable
            and self._memory.delete_value(_name(owner))
        )

    def _sealed(self, bot: Bot) -> str:
        fields = bot.to_dict_for_copying()
        tokens = {name: self._cipher.seal(fields[name]) for name in TOKEN_FIELDS if fields[name]}
        return json.dumps(fields | tokens, default=datetime.isoformat)

    def _opened(self, kept: str) -> Bot:
        fields = json.loads(kept)
        tokens = {name: self._cipher.open(fields[name]) for name in TOKEN_FIELDS if fields.get(name)}
        bot = Bot(**fields | {name: opened.token for name, opened in tokens.items()})
        if not all(opened.is_current for opened in tokens.values()):
            # Not if it was renewed meanwhile: then it is encrypted already, and the refresh token is another.
            with suppress(StoreUnavailable):  # the next reader does it
                self._memory.replace_value(installation_name(bot), kept, self._sealed(bot))
        return bot

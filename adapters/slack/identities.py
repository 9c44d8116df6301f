"""Who the bot is in each workspace, where an event does not say it."""

from __future__ import annotations

import time
from http.client import HTTPException
from threading import Lock

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from adapters.slack.event_context import UNKNOWN, BotIds
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.domain.errors import DeliveryError

CALL_SECONDS = 2
"""Slack waits three seconds for the answer to an event."""
KNOWN_SECONDS = 3600.0
ASK_AGAIN_SECONDS = 30.0
"""After a failure."""

log = logs.get_logger(__name__)


class Identities:
    """Remembers the bot's ids: of the installation, else of auth.test. Thread-safe."""

    def __init__(self, settings: SlackSettings, workspaces: Workspaces) -> None:
        self._api_url = settings.slack_api_url
        self._is_installable = settings.installable
        self._workspaces = workspaces
        self._known: dict[str, tuple[BotIds, float]] = {}
        self._asking = Lock()

    def known(self, team: str) -> BotIds:
        """Returns what is known of a workspace. No I/O."""
        return self._known.get(self._name(team), (UNKNOWN, 0.0))[0]

    def recognise(self, team: str, user: str) -> BotIds:
        """Does the same for an event, and remembers whom it names: see ``Recognise``."""
        name = self._name(team)
        known = self._known.get(name, (UNKNOWN, 0.0))[0]
        if not user or known.user == user:
            return known
        named = BotIds(user)
        self._known[name] = named, time.monotonic() + KNOWN_SECONDS
        return named

    def is_due(self, team: str) -> bool:
        """Returns whether ``learn`` may find out more. No I/O."""
        return time.monotonic() >= self._known.get(self._name(team), (UNKNOWN, 0.0))[1]

    def learn(self, team: str, enterprise: str) -> None:
        """Looks up who the bot is in a workspace. Does I/O, for a few seconds at most. Raises nothing."""
        with self._asking:
            if not self.is_due(team):
                return
            found = self._look_up({"team": team, "enterprise": enterprise})
            wait = KNOWN_SECONDS if found.user else ASK_AGAIN_SECONDS
            self._known[self._name(team)] = (found if found.user else self.known(team)), time.monotonic() + wait

    def _look_up(self, address: dict[str, str]) -> BotIds:
        try:
            workspace = self._workspaces.look_up(address)
            return BotIds(workspace.bot_user, workspace.bot_id) if workspace.bot_user else self._ask(workspace)
        except (DeliveryError, OSError, HTTPException, SlackClientError) as exc:
            log.warning("not known who the bot is", team=address["team"], error=str(exc))
            return UNKNOWN

    def _ask(self, workspace: Workspace) -> BotIds:
        client = WebClient(base_url=self._api_url, timeout=CALL_SECONDS, retry_handlers=[])
        answer = client.auth_test(token=workspace.token)
        return BotIds(str(answer.get("user_id") or ""), str(answer.get("bot_id") or ""))

    def _name(self, team: str) -> str:
        """One token is one bot, whatever the workspace of a message in a shared channel."""
        return team if self._is_installable else ""

"""The languages of people who give slash commands: those are answered at once, and do not say them."""

from __future__ import annotations

from http.client import HTTPException
from threading import Lock

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from adapters.base.expiring_cache import ExpiringCache
from adapters.base.json_fields import Fields, text_in
from adapters.slack.directory import KNOWN_SECONDS, MOST_KNOWN, UNKNOWN_SECONDS
from adapters.slack.event_context import id_of
from adapters.slack.settings import SlackSettings
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.languages import Languages

CALL_SECONDS = 1
"""Slack waits three seconds for the answer to a command."""

log = logs.get_logger(__name__)


class Locales:
    """Remembers them for a time. Thread-safe. ``form``: the fields of a command."""

    def __init__(self, settings: SlackSettings, workspaces: Workspaces, languages: Languages) -> None:
        self._api_url = settings.slack_api_url
        self._workspaces = workspaces
        self.languages = languages
        self._known: ExpiringCache[str] = ExpiringCache(MOST_KNOWN)
        self._lock = Lock()

    def known(self, form: Fields) -> str:
        """Returns the language of whoever gave a command; the first one if it is not known. No I/O."""
        with self._lock:
            return self.languages.best(self._known.get(_person(form)) or "")

    def learn(self, form: Fields) -> bool:
        """Asks Slack for it, unless it is known. Returns whether it asked. Does I/O, for a second. Raises nothing."""
        with self._lock:
            if not self.languages.is_choice or self._known.get(_person(form)) is not None:
                return False
        locale = self._ask(form)
        with self._lock:
            self._known.set(_person(form), locale, KNOWN_SECONDS if locale else UNKNOWN_SECONDS)
        return True

    def _ask(self, form: Fields) -> str:
        team, user = _person(form)
        try:
            token = self._workspaces.look_up({"team": team, "enterprise": id_of(form, "enterprise_id")}).token
            client = WebClient(token, self._api_url, timeout=CALL_SECONDS, retry_handlers=[])
            answer = client.users_info(user=user, include_locale=True)
            return text_in(answer.get("user") or {}, "locale")
        except (DeliveryError, OSError, HTTPException, SlackClientError) as exc:
            log.info("locale not told", team=team, error=type(exc).__name__)
            return ""


def _person(form: Fields) -> tuple[str, str]:
    return id_of(form, "team_id"), id_of(form, "user_id")

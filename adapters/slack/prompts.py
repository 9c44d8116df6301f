"""Suggests prompts to people who open the bot's agent view, in a thread of its own and at most once an hour."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from threading import BoundedSemaphore, Lock

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from adapters.base.json_fields import Fields, text_in
from adapters.slack.event_context import TeamContext
from adapters.slack.settings import SlackSettings
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.domain.errors import DeliveryError

INTERVAL_SECONDS = 3600.0
"""For each person. Slack keeps showing what was suggested."""
CALL_SECONDS = 5
MOST_WAITING = 50
MOST_REMEMBERED = 10_000

log = logs.get_logger(__name__)


class PromptSuggester:
    """Best effort. Has one thread from the first event on."""

    def __init__(self, settings: SlackSettings, workspaces: Workspaces) -> None:
        self._api_url = settings.slack_api_url
        self._prompts = [{"title": title, "message": message} for title, message in settings.prompts]
        self._workspaces = workspaces
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="slack-prompts")
        self._queue = BoundedSemaphore(MOST_WAITING)
        self._lock = Lock()
        self._next: dict[tuple[str, str], float] = {}
        """When each person gets suggestions again."""

    def on_event(self, payload: Fields, event: Fields) -> None:
        if event.get("type") != "app_home_opened" or event.get("tab") != "messages":
            return
        team = TeamContext.of(payload)
        address = {"team": team.team_id, "enterprise": team.enterprise}
        if self._is_due((team.team_id, text_in(event, "user"))) and self._queue.acquire(blocking=False):
            try:
                self._executor.submit(self._suggest, address, text_in(event, "channel"))
            except RuntimeError:  # closed: the process ends
                self._queue.release()

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _is_due(self, person: tuple[str, str]) -> bool:
        now = time.monotonic()
        with self._lock:
            if self._next.get(person, 0.0) > now:
                return False
            if len(self._next) >= MOST_REMEMBERED:
                self._next.clear()
            self._next[person] = now + INTERVAL_SECONDS
            return True

    def _suggest(self, address: Mapping[str, str], channel: str) -> None:
        """Sends no ``thread_ts``: with one, Slack does not show an agent's prompts, and reports no error
        (docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts).
        """
        try:
            token = self._workspaces.look_up(address).token
            client = WebClient(token, self._api_url, timeout=CALL_SECONDS, retry_handlers=[])
            client.assistant_threads_setSuggestedPrompts(channel_id=channel, prompts=self._prompts)
        except SlackApiError as exc:
            log.warning("prompts not suggested", team=address["team"], error=exc.response.get("error"))
        except (DeliveryError, OSError, HTTPException, SlackClientError) as exc:
            log.warning("prompts not suggested", team=address["team"], error=type(exc).__name__)
        finally:
            self._queue.release()

"""Suggests to who opens the agent's view what to ask: off the request, seldom, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from threading import BoundedSemaphore, Lock

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from adapters.slack.incoming import Origin
from adapters.slack.settings import SlackSettings
from adapters.slack.words import Fields, text_in
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.errors import DeliveryError

EVERY_SECONDS = 3600.0
"""Slack keeps what was suggested."""
CALL_SECONDS = 5
MOST_WAITING = 50
MOST_REMEMBERED = 10_000

log = logs.get(__name__)


class Prompts:
    """Best effort. Keeps one thread, once somebody has come."""

    def __init__(self, settings: SlackSettings, workspaces: Workspaces) -> None:
        self._api_url = settings.slack_api_url
        self._prompts = [{"title": title, "message": message} for title, message in settings.prompts]
        self._workspaces = workspaces
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="slack-prompts")
        self._room = BoundedSemaphore(MOST_WAITING)
        self._lock = Lock()
        self._next: dict[tuple[str, str], float] = {}
        """When each person may be suggested something again."""

    def heed(self, payload: Fields, event: Fields) -> None:
        if event.get("type") != "app_home_opened" or event.get("tab") != "messages":
            return
        origin = Origin.of(payload)
        address = {"team": origin.team, "enterprise": origin.enterprise}
        if self._is_due((origin.team, text_in(event, "user"))) and self._room.acquire(blocking=False):
            try:
                self._executor.submit(self._suggest, address, text_in(event, "channel"))
            except RuntimeError:  # the process is about to end
                self._room.release()

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _is_due(self, person: tuple[str, str]) -> bool:
        now = time.monotonic()
        with self._lock:
            if self._next.get(person, 0.0) > now:
                return False
            if len(self._next) >= MOST_REMEMBERED:
                self._next.clear()
            self._next[person] = now + EVERY_SECONDS
            return True

    def _suggest(self, address: Mapping[str, str], channel: str) -> None:
        """Without ``thread_ts``: an agent's prompts silently do not come with one
        (docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts).
        """
        try:
            token = self._workspaces.look_up(address).token
            client = WebClient(token, self._api_url, timeout=CALL_SECONDS, retry_handlers=[])
            client.assistant_threads_setSuggestedPrompts(channel_id=channel, prompts=self._prompts)
        except SlackApiError as exc:
            log.warning("no prompts suggested", team=address["team"], error=exc.response.get("error"))
        except (DeliveryError, OSError, HTTPException, SlackClientError) as exc:
            log.warning("no prompts suggested", team=address["team"], error=type(exc).__name__)
        finally:
            self._room.release()

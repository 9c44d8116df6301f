"""A fake Telegram: the Bot API over real HTTP on loopback, the server's rules, injectable faults, simulated users."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiohttp import web

from tests.fakes import telegram_files
from tests.fakes.platform_faults import (
    ConnectionRefused,
    HangingCall,
    HttpStatus,
    PlatformFault,
    PlatformFaults,
    RateLimit,
    RecordedCall,
    ResponseLost,
)
from tests.fakes.platform_server import FakePlatformServer
from tests.fakes.telegram_bot_api import TelegramBotApi
from tests.fakes.telegram_delivery import TelegramDeliveryAttempt, UpdateSender
from tests.fakes.telegram_faults import TelegramErrorFault
from tests.fakes.telegram_messages import TOKEN, USER, Json
from tests.fakes.telegram_methods import DEFAULT_SCOPE, methods
from tests.fakes.telegram_rate_limits import TelegramRateLimiter
from tests.fakes.telegram_state import ChatAction, TelegramDraft, TelegramFile, TelegramMessageView, TelegramState
from tests.fakes.telegram_users import TelegramUsers
from tests.fakes.telegram_webhook import DEFAULT_CONNECTIONS, WebhookSettings

__all__ = [
    "ChatAction",
    "ConnectionRefused",
    "FakeTelegram",
    "HangingCall",
    "HttpStatus",
    "PlatformFault",
    "PlatformFaults",
    "RateLimit",
    "RecordedCall",
    "ResponseLost",
    "TelegramDeliveryAttempt",
    "TelegramDraft",
    "TelegramErrorFault",
    "TelegramFile",
    "TelegramMessageView",
    "WebhookSettings",
]


class FakeTelegram(FakePlatformServer, TelegramUsers):
    """One Telegram with one bot in it. Callable from any thread, also while it runs.

    - ``limits``: enforce the rate limits, over ``clock`` (seconds).
    - ``drafts``: whether the server supports sendMessageDraft.
    - ``retries``: seconds before each retry of a webhook delivery, the last one repeated; ``retry_after_unit``: how
      long a second of a Retry-After lasts; ``response_timeout``: seconds to wait for an answer.
    - ``me``: fields that getMe returns differently: ``can_read_all_group_messages`` for example.

    ``with FakeTelegram() as telegram: Bot(TOKEN, base_url=telegram.base_url, base_file_url=telegram.base_file_url)``.
    A private chat with USER and the group GROUP exist from the start.
    """

    def __init__(
        self,
        *,
        limits: bool = False,
        drafts: bool = True,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        retries: Sequence[float] = (0.0, 0.01, 0.02, 0.05),
        retry_after_unit: float = 1.0,
        response_timeout: float = 10.0,
        token: str = TOKEN,
        me: Json | None = None,
    ) -> None:
        self._state = TelegramState(clock, token, me or {})
        self._sender = UpdateSender(
            self._state, retry_delays=retries, response_timeout=response_timeout, retry_after_unit=retry_after_unit
        )
        TelegramUsers.__init__(self, self._state, self._sender)
        FakePlatformServer.__init__(self, self._state, self._state.faults, port)
        slow = {
            "getUpdates": self._sender.get_updates,
            "setWebhook": self._sender.set_webhook,
            "deleteWebhook": self._sender.delete_webhook,
            "getWebhookInfo": self._sender.get_webhook_info,
        }
        self._api = TelegramBotApi(
            self._state, methods(drafts=drafts), slow, TelegramRateLimiter(clock) if limits else None
        )

    # ------------------------------------------------------------ where it is

    @property
    def base_url(self) -> str:
        """Base URL as python-telegram-bot expects it."""
        return f"{self.url}/bot"

    @property
    def base_file_url(self) -> str:
        return f"{self.url}/file/bot"

    def deliver_to(self, url: str, secret: str = "", max_connections: int = DEFAULT_CONNECTIONS) -> None:
        """Sets the webhook without an API call."""
        self._sender.use_webhook(WebhookSettings(url, secret, max_connections))

    def revoke_token(self) -> None:
        """Makes the token invalid from now on."""
        with self._state.notify():
            self._state.revoked = True

    # ------------------------------------------------------------ what it saw

    def messages(
        self, chat_id: int = USER, thread: int | None = None, *, business: str = ""
    ) -> list[TelegramMessageView]:
        """Returns the messages visible in a chat now, in order; of one topic, or of all."""
        with self._state.lock:
            chat = self._state.chats.get((business, chat_id))
            entries = list(chat.messages.values()) if chat is not None else []
            return [entry.view for entry in entries if thread is None or entry.view.thread == thread]

    def bot_messages(
        self, chat_id: int = USER, thread: int | None = None, *, business: str = ""
    ) -> list[TelegramMessageView]:
        """Returns the visible messages of the bot."""
        return [shown for shown in self.messages(chat_id, thread, business=business) if shown.from_bot]

    def drafts(self, chat_id: int = USER) -> list[TelegramDraft]:
        """Returns the drafts visible now."""
        with self._state.lock:
            chat = self._state.chats.get(("", chat_id))
            return self._state.visible_drafts(chat) if chat is not None else []

    def actions(self, chat_id: int = USER, *, business: str = "") -> list[ChatAction]:
        """Returns all chat actions (``typing`` and the like), in order."""
        with self._state.lock:
            chat = self._state.chats.get((business, chat_id))
            return chat.actions.copy() if chat is not None else []

    def is_typing(self, chat_id: int = USER, thread: int | None = None, *, business: str = "") -> bool:
        """Whether the bot is shown as typing: for five seconds after the action, or until it posts."""
        with self._state.lock:
            chat = self._state.chats.get((business, chat_id))
            return chat is not None and self._state.clock() < chat.typing_until.get(thread, 0)

    def topics(self, chat_id: int) -> dict[int, str]:
        """Returns the topic names by message_thread_id."""
        with self._state.lock:
            return self._state.find_chat(chat_id).topics.copy()

    def calls(self, method: str | None = None) -> list[RecordedCall]:
        """Returns the calls of a method, or all calls, in order of arrival."""
        calls = self._state.calls.copy()
        return calls if method is None else [call for call in calls if call.method == method]

    def query_answer(self, query_id: str) -> Json | None:
        """Returns the answer to a callback_query or a guest query."""
        return self._state.query_answers.get(query_id)

    @property
    def deliveries(self) -> list[TelegramDeliveryAttempt]:
        """All attempts to deliver an update to a webhook, in the order in which they ended."""
        return self._sender.deliveries.copy()

    def pending_updates(self) -> list[Json]:
        """Returns the unacknowledged updates."""
        return self._sender.pending

    @property
    def webhook(self) -> WebhookSettings | None:
        return self._sender.webhook

    @property
    def allowed_updates(self) -> frozenset[str]:
        return self._sender.allowed

    @property
    def commands(self) -> list[Json]:
        """The command menu of the default scope."""
        return self._state.commands.get(DEFAULT_SCOPE, [])

    @property
    def command_menus(self) -> dict[str, list[Json]]:
        """All command menus, by the JSON of their scope followed by the language code."""
        return self._state.commands.copy()

    def wait_until_acknowledged(self, timeout: float = 20.0) -> None:
        """Waits until every update is acknowledged."""
        self.wait_until(lambda: self._sender.idle, timeout)

    def _describe(self) -> str:
        entries = [entry for chat in list(self._state.chats.values()) for entry in list(chat.messages.values())[-5:]]
        said = [f"  {one.view.chat_id} {one.view.user}: {one.view.text[:100]!r}" for one in entries]
        calls = [f"  {call.method} {call.summary or '...'}" for call in self.calls()[-20:]]
        done = [f"  {one.update_id} #{one.attempt} {one.status}" for one in self.deliveries[-10:]]
        waits = [f"  {update['update_id']}" for update in self.pending_updates()[:10]]
        parts = ["messages:", *said, "calls:", *calls, "deliveries:", *done, "pending updates:", *waits]
        return "\n".join(parts)

    # ------------------------------------------------------------ running

    async def _on_start(self) -> None:
        await self._sender.open()

    async def _on_stop(self) -> None:
        await self._sender.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        room, _, rest = request.path.lstrip("/").partition("/")
        if room.startswith("bot"):
            return await self._api.answer(request, room.removeprefix("bot"), rest)
        if room == "file" and rest.startswith("bot"):
            token, _, path = rest.removeprefix("bot").partition("/")
            return telegram_files.download(self._state, token, path)
        return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)

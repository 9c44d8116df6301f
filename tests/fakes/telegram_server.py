"""A fake Telegram: the Bot API over real HTTP on loopback, the server's rules, injectable faults, simulated users."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiohttp import web

from tests.fakes import telegram_files
from tests.fakes.platform_faults import Call, Fault, Faults, Hang, Lost, RateLimit, Refuse, Status
from tests.fakes.platform_server import WebServer
from tests.fakes.telegram_bot_api import Api
from tests.fakes.telegram_delivery import Delivery, Post
from tests.fakes.telegram_faults import Error
from tests.fakes.telegram_messages import TOKEN, USER, Json
from tests.fakes.telegram_methods import DEFAULT_SCOPE, methods
from tests.fakes.telegram_rate_limits import Limits
from tests.fakes.telegram_state import Action, Draft, File, Shown, World
from tests.fakes.telegram_users import People
from tests.fakes.telegram_webhook import CONNECTIONS, Webhook

__all__ = [
    "Action",
    "Call",
    "Delivery",
    "Draft",
    "Error",
    "FakeTelegram",
    "Fault",
    "Faults",
    "File",
    "Hang",
    "Lost",
    "RateLimit",
    "Refuse",
    "Shown",
    "Status",
    "Webhook",
]


class FakeTelegram(WebServer, People):
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
        second: float = 1.0,
        patience: float = 10.0,
        token: str = TOKEN,
        me: Json | None = None,
    ) -> None:
        self._world = World(clock, token, me or {})
        self._post = Post(self._world, pauses=retries, patience=patience, second=second)
        People.__init__(self, self._world, self._post)
        WebServer.__init__(self, self._world, self._world.faults, port)
        slow = {
            "getUpdates": self._post.get_updates,
            "setWebhook": self._post.set_webhook,
            "deleteWebhook": self._post.delete_webhook,
            "getWebhookInfo": self._post.get_webhook_info,
        }
        self._api = Api(self._world, methods(drafts=drafts), slow, Limits(clock) if limits else None)

    # ------------------------------------------------------------ where it is

    @property
    def base_url(self) -> str:
        """Base URL as python-telegram-bot expects it."""
        return f"{self.url}/bot"

    @property
    def base_file_url(self) -> str:
        return f"{self.url}/file/bot"

    def bring_to(self, url: str, secret: str = "", max_connections: int = CONNECTIONS) -> None:
        """Sets the webhook without an API call."""
        self._post.bring_to(Webhook(url, secret, max_connections))

    def revoke(self) -> None:
        """Makes the token invalid from now on."""
        with self._world.change():
            self._world.revoked = True

    # ------------------------------------------------------------ what it saw

    def shown(self, chat_id: int = USER, thread: int | None = None, *, business: str = "") -> list[Shown]:
        """Returns the messages visible in a chat now, in order; of one topic, or of all."""
        with self._world.lock:
            chat = self._world.chats.get((business, chat_id))
            entries = list(chat.entries.values()) if chat is not None else []
            return [entry.shown for entry in entries if thread is None or entry.shown.thread == thread]

    def answers(self, chat_id: int = USER, thread: int | None = None, *, business: str = "") -> list[Shown]:
        """Returns the visible messages of the bot."""
        return [shown for shown in self.shown(chat_id, thread, business=business) if shown.from_bot]

    def drafts(self, chat_id: int = USER) -> list[Draft]:
        """Returns the drafts visible now."""
        with self._world.lock:
            chat = self._world.chats.get(("", chat_id))
            return self._world.drafts(chat) if chat is not None else []

    def actions(self, chat_id: int = USER, *, business: str = "") -> list[Action]:
        """Returns all chat actions (``typing`` and the like), in order."""
        with self._world.lock:
            chat = self._world.chats.get((business, chat_id))
            return chat.actions.copy() if chat is not None else []

    def typing(self, chat_id: int = USER, thread: int | None = None, *, business: str = "") -> bool:
        """Whether the bot is shown as typing: for five seconds after the action, or until it posts."""
        with self._world.lock:
            chat = self._world.chats.get((business, chat_id))
            return chat is not None and self._world.clock() < chat.typing.get(thread, 0)

    def topics(self, chat_id: int) -> dict[int, str]:
        """Returns the topic names by message_thread_id."""
        with self._world.lock:
            return self._world.chat(chat_id).topics.copy()

    def calls(self, method: str | None = None) -> list[Call]:
        """Returns the calls of a method, or all calls, in order of arrival."""
        calls = self._world.calls.copy()
        return calls if method is None else [call for call in calls if call.method == method]

    def answered(self, query_id: str) -> Json | None:
        """Returns the answer to a callback_query or a guest query."""
        return self._world.answered.get(query_id)

    @property
    def deliveries(self) -> list[Delivery]:
        """All attempts to deliver an update to a webhook, in the order in which they ended."""
        return self._post.deliveries.copy()

    def pending(self) -> list[Json]:
        """Returns the unacknowledged updates."""
        return self._post.pending

    @property
    def webhook(self) -> Webhook | None:
        return self._post.webhook

    @property
    def allowed_updates(self) -> frozenset[str]:
        return self._post.allowed

    @property
    def commands(self) -> list[Json]:
        """The command menu of the default scope."""
        return self._world.commands.get(DEFAULT_SCOPE, [])

    @property
    def menus(self) -> dict[str, list[Json]]:
        """All command menus, by the JSON of their scope followed by the language code."""
        return self._world.commands.copy()

    def settle(self, timeout: float = 20.0) -> None:
        """Waits until every update is acknowledged."""
        self.wait(lambda: self._post.idle, timeout)

    def _describe(self) -> str:
        entries = [entry for chat in list(self._world.chats.values()) for entry in list(chat.entries.values())[-5:]]
        said = [f"  {one.shown.chat_id} {one.shown.user}: {one.shown.text[:100]!r}" for one in entries]
        calls = [f"  {call.method} {call.answered or '...'}" for call in self.calls()[-20:]]
        done = [f"  {one.update_id} #{one.attempt} {one.status}" for one in self.deliveries[-10:]]
        waits = [f"  {update['update_id']}" for update in self.pending()[:10]]
        parts = ["messages:", *said, "calls:", *calls, "deliveries:", *done, "pending updates:", *waits]
        return "\n".join(parts)

    # ------------------------------------------------------------ running

    async def _open(self) -> None:
        await self._post.open()

    async def _close(self) -> None:
        await self._post.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        room, _, rest = request.path.lstrip("/").partition("/")
        if room.startswith("bot"):
            return await self._api.answer(request, room.removeprefix("bot"), rest)
        if room == "file" and rest.startswith("bot"):
            token, _, path = rest.removeprefix("bot").partition("/")
            return telegram_files.download(self._world, token, path)
        return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)

"""Writes the messages of one reply to Discord."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from adapters.base.errors import NOT_DONE, Rejected
from adapters.base.json_fields import text_in
from adapters.base.message_writer import MessageWriter
from adapters.discord.api_client import ApplicationIdentity, DiscordClient
from adapters.discord.buttons import components
from adapters.discord.errors import Refusal
from adapters.discord.posted_reply import Buttons, DiscordContent, DiscordMessage, DiscordReply
from adapters.discord.reply_target import INTERACTION_SECONDS, DiscordTarget, created_at
from gateway.domain.models import TurnId
from gateway.http_client import UploadedFile
from gateway.ports.platform import DeliveryContext

SUPPRESS_EMBEDS = 1 << 2
"""docs.discord.com/developers/resources/message#message-object-message-flags"""
ARCHIVE_MINUTES = 1440
"""Of silence after which Discord hides a thread from the list; it opens again with the next message."""
SILENT: Mapping[str, Any] = {"allowed_mentions": {"parse": []}}
"""Nobody is pinged, whatever the model wrote."""
NOT_WRITABLE = frozenset({Refusal.NO_ACCESS, Refusal.NO_PERMISSION, Refusal.CHANNEL_GONE})
"""Reasons for which a channel takes nothing from the bot. What answers an interaction is taken all the same."""


class DiscordWriter(MessageWriter[DiscordMessage, DiscordContent]):
    """See the base class."""

    GONE = Refusal.MESSAGE_GONE

    reply: DiscordReply

    def __init__(
        self,
        client: DiscordClient,
        me: ApplicationIdentity,
        target: DiscordTarget,
        turn: TurnId,
        delivery: DeliveryContext,
        reply: DiscordReply,
        *,
        max_wait: float,
    ) -> None:
        super().__init__(delivery, reply, max_wait=max_wait)
        self._client = client
        self.me = me
        self._turn = turn
        self.target = target

    async def post(self, content: DiscordContent) -> None:
        if self._answers_interaction and not self.reply.messages and await self._answer_interaction(content):
            return
        number = len(self.reply.messages)
        key = nonce(self._turn, str(number), self.reply.deleted)
        posted, by_token = await self._create(key, content, answers=not number)
        self.reply.messages.append(DiscordMessage(posted, by_token=by_token, shown=content))
        await self.save_posted()

    async def post_file(self, file: UploadedFile) -> None:
        number = len(self.reply.files)
        key = nonce(self._turn, f"f{number}", 0)
        posted, _ = await self._create(key, DiscordContent(""), answers=False, files=(file,))
        await self.save_file(number, posted)

    async def post_file_line(self, content: DiscordContent, number: int) -> None:
        posted, _ = await self._create(nonce(self._turn, f"f{number}", 1), content, answers=False)
        await self.save_file(number, posted)

    async def update(self, message: DiscordMessage, content: DiscordContent) -> None:
        before, message.shown = message.shown, None
        try:
            await self._change(message, self._body(content))
        except Rejected:
            message.shown = before
            raise
        message.shown = content

    async def update_buttons(self, message: DiscordMessage, buttons: Buttons) -> None:
        """Changes what is below a message. Doing it twice is harmless."""
        await self._change(message, {"components": components(buttons, self._turn, self.reply.language)})

    async def remove(self, message: DiscordMessage) -> None:
        await self.call("DELETE message", f"/channels/{self.reply.place}/messages/{message.id}")

    async def forget(self, message: DiscordMessage) -> None:
        self.reply.deleted += 1
        await super().forget(message)

    async def show_typing(self) -> None:
        """Shows for ten seconds that the bot types.

        docs.discord.com/developers/resources/channel#trigger-typing-indicator
        """
        if not self._answers_interaction:  # Discord shows by itself that it is being worked on
            await self.call("POST typing", f"/channels/{await self._place()}/typing")

    async def call(self, method: str, path: str, **more: Any) -> Any:
        bucket = self.reply.place or self.target.channel
        return await self._client.call(
            method, path, delivery=self._delivery, bucket=bucket, max_wait=self._max_wait, **more
        )

    # ------------------------------------------------------------ interactions

    @property
    def _answers_interaction(self) -> bool:
        known = self.target.token and self.target.interaction
        return bool(known) and time.time() < created_at(self.target.interaction) + INTERACTION_SECONDS

    @property
    def _webhook(self) -> str:
        return f"/webhooks/{self.me.application}/{self.target.token}"

    @property
    def _may_follow_up(self) -> bool:
        """Whether more may be posted by the token. It is not after a doubt, as Discord knows no nonce there."""
        is_sure = self._delivery.first_attempt and not self.reply.follow_up_in_doubt
        return is_sure and self._answers_interaction and bool(self.reply.messages)

    async def _answer_interaction(self, content: DiscordContent) -> bool:
        """Fills in the answer that Discord waits for. Doing it twice is harmless. Returns False if it is over."""
        try:
            answer = await self.call("PATCH answer", f"{self._webhook}/messages/@original", body=self._body(content))
        except Rejected as exc:
            if exc.reason not in {Refusal.INTERACTION_OVER, Refusal.MESSAGE_GONE, Refusal.CHANNEL_GONE}:
                raise
            return False
        self.reply.place = self.target.channel
        self.reply.messages.append(DiscordMessage(text_in(answer, "id"), by_token=True, shown=content))
        await self.save_posted()
        return True

    # ------------------------------------------------------------ how it is sent

    async def _create(
        self, key: str, content: DiscordContent, *, answers: bool, files: Sequence[UploadedFile] = ()
    ) -> tuple[str, bool]:
        """Posts a message; returns its id, and whether it was posted by the token of the interaction.

        That is done where the bot may not write. Else a repetition within minutes, by whichever process, posts nothing
        new: docs.discord.com/developers/resources/message#create-message, ``enforce_nonce``.
        """
        place = await self._place()
        body = {**self._body(content), "nonce": key, "enforce_nonce": True}
        if answers and self.target.message and place == self.target.channel:
            body["message_reference"] = {"message_id": self.target.message, "fail_if_not_exists": False}
        try:
            return await self._posted("POST messages", f"/channels/{place}/messages", body, files), False
        except Rejected as exc:
            if exc.reason not in NOT_WRITABLE or not self._may_follow_up:
                raise
        return await self._follow_up(content, files), True

    async def _follow_up(self, content: DiscordContent, files: Sequence[UploadedFile]) -> str:
        self.reply.follow_up_in_doubt = True
        try:
            posted = await self._posted("POST followup", self._webhook, self._body(content), files)
        except NOT_DONE:
            self.reply.follow_up_in_doubt = False
            raise
        self.reply.follow_up_in_doubt = False
        return posted

    async def _posted(self, method: str, path: str, body: Mapping[str, Any], files: Sequence[UploadedFile]) -> str:
        before, self.reply.in_doubt = self.reply.in_doubt, True
        try:
            posted = await self.call(method, path, body=body, files=files)
        except NOT_DONE:
            self.reply.in_doubt = before
            raise
        self.reply.in_doubt = before
        return text_in(posted, "id")

    async def _change(self, message: DiscordMessage, body: Mapping[str, Any]) -> None:
        if message.by_token and self._answers_interaction:
            number = "@original" if message is self.reply.messages[0] else message.id
            await self.call("PATCH answer", f"{self._webhook}/messages/{number}", body=body)
        else:
            await self.call("PATCH message", f"/channels/{self.reply.place}/messages/{message.id}", body=body)

    def _body(self, content: DiscordContent) -> dict[str, Any]:
        buttons = components(content.buttons, self._turn, self.reply.language)
        return {"content": content.text, "flags": SUPPRESS_EMBEDS, "components": buttons, **SILENT}

    async def _place(self) -> str:
        """Returns where the reply is posted; opens the thread for it. A thread has the id of the message it is at.

        Where no thread can be opened, the reply is posted in the channel.
        """
        if not self.reply.place:
            self.reply.place = await self._open_thread() if self.target.thread_name else self.target.channel
        return self.reply.place

    async def _open_thread(self) -> str:
        path = f"/channels/{self.target.channel}/messages/{self.target.message}/threads"
        body = {"name": self.target.thread_name, "auto_archive_duration": ARCHIVE_MINUTES}
        try:
            await self.call("POST threads", path, body=body)
        except Rejected as exc:
            if exc.reason != Refusal.THREAD_EXISTS:
                return self.target.channel
        return self.target.message


def nonce(turn: TurnId, part: str, attempt: int) -> str:
    """Returns what identifies a message of a turn: the same in every process, 25 characters at most.

    ``attempt``: differs for what is posted in place of something else, for which Discord would return that.
    """
    return f"{sha256(turn.encode()).hexdigest()[:16]}.{part}.{attempt}"[:25]

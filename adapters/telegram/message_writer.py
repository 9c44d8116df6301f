"""Writes the messages of one reply to Telegram. What is posted is announced before and saved after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Message, ReplyParameters

from adapters.base.errors import NOT_DONE, Unreachable
from adapters.base.message_writer import MessageWriter
from adapters.telegram import files
from adapters.telegram.api_client import Announce, TelegramClient
from adapters.telegram.errors import Reason
from adapters.telegram.formatter import FormattedText
from adapters.telegram.posted_reply import PendingSend, SendState, TelegramMessage, TelegramReply
from adapters.telegram.reply_target import TelegramTarget
from gateway.domain.files import Content, File
from gateway.domain.models import TurnId
from gateway.ports.platform import DeliveryContext

NO_LINK_PREVIEW = LinkPreviewOptions(is_disabled=True)
"""A reply looks the same while it is written and when it is complete."""
MAX_DRAFT_ID = 2**31 - 1


class TelegramWriter(MessageWriter[TelegramMessage, FormattedText]):
    """See the base class."""

    GONE = Reason.MESSAGE_GONE

    reply: TelegramReply

    def __init__(
        self,
        client: TelegramClient,
        target: TelegramTarget,
        turn: TurnId,
        delivery: DeliveryContext,
        reply: TelegramReply,
        *,
        max_wait: float,
    ) -> None:
        super().__init__(delivery, reply, max_wait=max_wait)
        self._client = client
        self._first_target = target
        self._draft_id = draft_id(turn)

    @property
    def target(self) -> TelegramTarget:
        """Where the reply continues. The topic and the answered message exist only where it began."""
        if not self.reply.moved:
            return self._first_target
        return replace(self._first_target, chat=self.reply.chat, topic="", message="")

    async def post(self, content: FormattedText) -> None:
        """Posts one more message. After one whose outcome is unknown, the content must say that it is a repetition."""
        answers = not self.reply.messages
        sent, again = await self._send(
            self.reply.next_message, lambda announce: self._post(content, announce, answers=answers)
        )
        self.reply.messages.append(TelegramMessage(self.reply.chat, int(sent), again=again, shown=content))
        await self.save_posted()

    async def post_file(self, file: File, content: Content) -> None:
        """Posts one more file. After one whose outcome is unknown, its name must say that it is a repetition."""
        sent, _ = await self._send(
            self.reply.next_file,
            lambda announce: files.upload(self._client, self.target, self._delivery, announce, file, content),
        )
        await self.save_file(len(self.reply.files), sent)

    async def post_file_line(self, content: FormattedText, number: int) -> None:
        sent, _ = await self._send(self.reply.next_file, lambda announce: self._post(content, announce, answers=False))
        await self.save_file(number, sent)

    async def update(self, message: TelegramMessage, content: FormattedText) -> None:
        args = {
            "message_id": message.message_id,
            "text": content.text,
            "entities": content.entities,
            "link_preview_options": NO_LINK_PREVIEW,
            "reply_markup": _keyboard(content),
            "business_connection_id": self._first_target.business or None,
        }
        before, message.shown = message.shown, None
        try:
            await self._call("edit_message_text", message.chat, args)
        except NOT_DONE as exc:
            if not isinstance(exc, Unreachable):
                message.shown = before
            raise
        message.shown = content

    async def remove(self, message: TelegramMessage) -> None:
        if business := self._first_target.business:
            args = {"business_connection_id": business, "message_ids": [message.message_id]}
            await self._call("delete_business_messages", None, args)
        else:
            await self._call("delete_message", message.chat, {"message_id": message.message_id})

    async def show_draft(self, content: FormattedText | None) -> None:
        """Shows what is being written; None: that it is. The person can stop it, if the server is new enough."""
        args = {
            "draft_id": self._draft_id,
            "text": content.text if content else "",
            "entities": content.entities or None if content else None,
            "can_stop": True,
            **self.target.args,
        }
        await self._call("sendMessageDraft", self.target.chat, args)

    async def show_typing(self, *, max_wait: float) -> None:
        """Shows for five seconds that the bot types."""
        target = self.target
        args: dict[str, Any] = {"action": "typing", **target.args}
        await self._client.call("send_chat_action", target.chat, delivery=self._delivery, max_wait=max_wait, **args)

    def leave_topic(self) -> None:
        """Continues in the chat, as the topic does not exist any more."""
        self._first_target = replace(self._first_target, topic="")

    def leave_message(self) -> None:
        """Continues without a reference to the answered message, which does not exist any more."""
        self._first_target = replace(self._first_target, message="")

    # ------------------------------------------------------------ how it is sent

    async def _send(self, pending: PendingSend, send: Callable[[Announce], Awaitable[str]]) -> tuple[str, bool]:
        """Returns the message's id, and whether it is a repetition. ``send`` announces it when it has all its tokens.

        From its announcement until its answer is there, there may be a message that is not recorded.
        """
        before = pending.state

        async def announce() -> None:
            pending.state = SendState.SENDING_AGAIN if before else SendState.SENDING
            await self.save()

        try:
            sent = await send(announce)
        except NOT_DONE:
            if pending.state is not before:
                pending.state = before
                await self.save()
            raise
        pending.state = SendState.KNOWN
        return sent, bool(before)

    async def _post(self, content: FormattedText, announce: Announce, *, answers: bool) -> str:
        target = self.target
        reply = None
        if answers and target.message and not target.direct:
            reply = ReplyParameters(int(target.message), allow_sending_without_reply=True)
        args: dict[str, Any] = {
            "text": content.text,
            "entities": content.entities,
            "link_preview_options": NO_LINK_PREVIEW,
            "reply_parameters": reply,
            "reply_markup": _keyboard(content),
            **target.args,
        }
        sent: Message = await self._client.call(
            "send_message", target.chat, delivery=self._delivery, max_wait=self._max_wait, announce=announce, **args
        )
        return str(sent.message_id)

    async def _call(self, method: str, chat: str | None, args: Mapping[str, Any]) -> None:
        await self._client.call(method, chat, delivery=self._delivery, max_wait=self._max_wait, **args)


def _keyboard(content: FormattedText) -> InlineKeyboardMarkup | None:
    """Returns the buttons below a message; None, also to remove those that are there."""
    if not content.buttons:
        return None
    return InlineKeyboardMarkup([[InlineKeyboardButton(text, callback_data=says) for text, says in content.buttons]])


def draft_id(turn: TurnId) -> int:
    """Returns the id of a turn's drafts: the same in every process; never 0."""
    return int.from_bytes(sha256(turn.encode()).digest()[:8]) % MAX_DRAFT_ID + 1

"""Writes the messages of one reply, and keeps what is known of them right whatever comes of a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from telegram import LinkPreviewOptions, Message, ReplyParameters

from adapters.telegram import files
from adapters.telegram.bot import Calls
from adapters.telegram.errors import Away, Crowded, Declined, Reason, Throttled
from adapters.telegram.places import Place
from adapters.telegram.standing import Doubt, Next, Part, Standing
from adapters.telegram.text import Rendered
from gateway.errors import LeaseLost, StoreUnavailable
from gateway.messages import File, TurnId
from gateway.ports import Outbox
from gateway.storing import Rate

NOT_DONE = (Crowded, Throttled, Away, Declined, LeaseLost, StoreUnavailable)
"""After any other error, and when we are cancelled, nobody knows whether it was done."""
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
"""A reply looks the same while it is written and when it is whole."""
DRAFTS = 2**31 - 1


class Pen:
    """Every method raises as ``Calls.call`` does, and LeaseLost. What is posted is announced before and noted after."""

    def __init__(self, calls: Calls, place: Place, turn: TurnId, outbox: Outbox, standing: Standing) -> None:
        self.standing = standing
        self._calls = calls
        self._first = place.chat
        self._place = place
        self._outbox = outbox
        self._draft = draft_id(turn)

    @property
    def place(self) -> Place:
        """Where the reply goes on. What it answers and the topic are only there where it began."""
        if not self.standing.moved:
            return self._place
        return replace(self._place, chat=self.standing.chat, topic="", reply_to="")

    async def post(self, wanted: Rendered, *, patience: float) -> None:
        """One more part; behind what was lost sight of, it must say so itself."""
        answers = not self.standing.parts
        sent, again = await self._send(
            self.standing.next_part, lambda to: self._say(wanted, to, patience, answers=answers)
        )
        self.standing.parts.append(Part(self.standing.chat, int(sent), again=again, shown=wanted))
        await self.note()

    async def post_file(self, file: File, content: bytes) -> None:
        """One more file; behind one that was lost sight of, its name must say so itself."""
        sent, _ = await self._send(
            self.standing.next_file, lambda to: files.upload(self._calls, self.place, to, file, content)
        )
        self.standing.files.append(sent)
        await self.note()

    async def post_line(self, wanted: Rendered, *, patience: float) -> None:
        """A line instead of one more file."""
        sent, _ = await self._send(self.standing.next_file, lambda to: self._say(wanted, to, patience, answers=False))
        self.standing.files.append(sent)
        await self.note()

    async def edit(self, part: Part, wanted: Rendered, *, patience: float) -> None:
        """Let a message show something else. It may be done twice."""
        args = {
            "message_id": part.message,
            "text": wanted.text,
            "entities": wanted.entities,
            "link_preview_options": NO_PREVIEW,
            "business_connection_id": self._place.business or None,
        }
        before, part.shown = part.shown, None
        try:
            await self._call("edit_message_text", part.chat, args, patience)
        except NOT_DONE as exc:
            if not isinstance(exc, Away):
                part.shown = before
            raise
        part.shown = wanted

    async def delete(self, part: Part, *, patience: float) -> None:
        """Take the last message away; no error when it is gone already."""
        try:
            await self._delete(part, patience)
        except Declined as exc:
            if exc.reason is not Reason.MESSAGE_GONE:
                raise
        self.standing.parts.remove(part)
        await self.note()

    async def draft(self, wanted: Rendered | None) -> None:
        """Show what is being written; None: that it is. Whoever sees it can stop it, where the server is new enough."""
        args = {
            "draft_id": self._draft,
            "text": wanted.text if wanted else "",
            "entities": wanted.entities or None if wanted else None,
            "can_stop": True,
            **self.place.args,
        }
        await self._call("sendMessageDraft", self.place.chat, args, patience=0.0)

    async def type(self, *, patience: float) -> None:
        """Let the bot be seen to type, for five seconds."""
        args = {"action": "typing", **self.place.args}
        await self._call("send_chat_action", self.place.chat, args, patience)

    def leave_topic(self) -> None:
        """It is gone: the reply goes to the chat."""
        self._place = replace(self._place, topic="")

    def leave_message(self) -> None:
        """What is answered is gone."""
        self._place = replace(self._place, reply_to="")

    async def note(self) -> None:
        await self._outbox.note(self.standing.notes(self._first))

    # ------------------------------------------------------------ how it is sent

    async def _send(self, following: Next, send: Callable[[Outbox], Awaitable[str]]) -> tuple[str, bool]:
        """The message's id, and whether it was sent again. ``send`` takes its places from the outbox that it is given.

        From its announcement until its answer is there, there may be a message that nobody knows of.
        """
        before = following.doubt

        async def announce() -> None:
            following.doubt = Doubt.TWICE if before else Doubt.ONCE
            await self.note()

        try:
            sent = await send(_Announcing(self._outbox, f"telegram:{self._calls.bot_id}", announce))
        except NOT_DONE:
            if following.doubt is not before:
                following.doubt = before
                await self.note()
            raise
        following.doubt = Doubt.NONE
        return sent, bool(before)

    async def _say(self, wanted: Rendered, outbox: Outbox, patience: float, *, answers: bool) -> str:
        place = self.place
        reply = None
        if answers and place.reply_to and place.kind != "private":
            reply = ReplyParameters(int(place.reply_to), allow_sending_without_reply=True)
        args = {
            "text": wanted.text,
            "entities": wanted.entities,
            "link_preview_options": NO_PREVIEW,
            "reply_parameters": reply,
            **place.args,
        }
        sent: Message = await self._call("send_message", place.chat, args, patience, outbox=outbox)
        return str(sent.message_id)

    async def _delete(self, part: Part, patience: float) -> None:
        if business := self._place.business:
            args = {"business_connection_id": business, "message_ids": [part.message]}
            await self._call("delete_business_messages", None, args, patience)
        else:
            await self._call("delete_message", part.chat, {"message_id": part.message}, patience)

    async def _call(
        self, method: str, chat: str | None, args: Mapping[str, Any], patience: float, *, outbox: Outbox | None = None
    ) -> Any:
        return await self._calls.call(method, chat, outbox=outbox or self._outbox, patience=patience, **args)


@dataclass(frozen=True, slots=True)
class _Announcing:
    """An outbox that announces what is sent when it has its place, and not while it waits for one."""

    outbox: Outbox
    last: str
    """The limit that is taken last: the one of the whole bot."""
    announce: Callable[[], Awaitable[None]]

    @property
    def fresh(self) -> bool:
        return self.outbox.fresh

    @property
    def parts(self) -> tuple[str, ...]:
        return self.outbox.parts

    async def note(self, parts: Sequence[str]) -> None:
        await self.outbox.note(parts)

    async def file(self, file: File) -> bytes:
        return await self.outbox.file(file)

    async def take(self, bucket: str, rate: Rate, *, patience: float) -> bool:
        taken = await self.outbox.take(bucket, rate, patience=patience)
        if taken and bucket == self.last:
            await self.announce()
        return taken

    async def hold_off(self, bucket: str, seconds: float) -> None:
        await self.outbox.hold_off(bucket, seconds)


def draft_id(turn: TurnId) -> int:
    """The same for the same turn, whoever works on it; never 0."""
    return int.from_bytes(sha256(turn.encode()).digest()[:8]) % DRAFTS + 1

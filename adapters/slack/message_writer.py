"""Writes the messages of one reply to Slack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from adapters.base.errors import NOT_DONE, Rejected
from adapters.base.message_writer import MessageWriter
from adapters.slack.api_client import SlackClient
from adapters.slack.posted_reply import OutgoingMessage, SlackMessage, SlackReply, metadata
from adapters.slack.reply_target import SlackTarget
from gateway.domain.models import TurnId
from gateway.ports.platform import DeliveryContext

Chunk = Mapping[str, Any]
Ending = Literal["complete", "error"]

ENDED = "message_not_in_streaming_state"
STREAM_OVER = frozenset({ENDED, "stopped_by_user"})
"""Slack's errors for a stream that is over: because of its age, or because somebody pressed Stop."""
MAX_TITLE = 100
"""Characters."""


class SlackWriter(MessageWriter[SlackMessage, OutgoingMessage]):
    """See the base class."""

    GONE = "message_not_found"

    reply: SlackReply

    def __init__(
        self,
        client: SlackClient,
        target: SlackTarget,
        turn: TurnId,
        delivery: DeliveryContext,
        reply: SlackReply,
        *,
        max_wait: float,
    ) -> None:
        super().__init__(delivery, reply, max_wait=max_wait)
        self.asked_at = target
        """Where the message is that is answered; a status is shown there."""
        self._client = client
        self._turn = turn
        self._clock = asyncio.get_running_loop().time

    @property
    def target(self) -> SlackTarget:
        """Where the reply is posted."""
        return replace(self.asked_at, thread_ts="") if self.reply.unthreaded else self.asked_at

    async def post(self, content: OutgoingMessage) -> None:
        mark = content.content_hash
        payload = metadata(self._turn, part=len(self.reply.messages), mark=mark)
        with _Appearing(self.reply):
            ts = await self._post(content, payload)
            self._add(SlackMessage(ts, content.text, mark))
        await self.save_posted()

    async def post_file_line(self, content: OutgoingMessage, number: int) -> None:
        with _Appearing(self.reply):
            ts = await self._post(content, metadata(self._turn, file=number))
        await self.save_file(number, ts)

    async def start_stream(self, text: str, tasks: Sequence[Chunk]) -> None:
        """Posts one more message as a stream. It has no metadata until it ends: chat.startStream takes none."""
        args = {
            "thread_ts": self.target.thread_ts,
            "recipient_team_id": self.target.user_team,
            "recipient_user_id": self.target.user,
            "chunks": _chunks(text, tasks),
        }
        with _Appearing(self.reply):
            answer = await self._call("chat.startStream", args)
            message = SlackMessage(answer["ts"], text, streaming=True)
            _record_tasks(message, tasks)
            self._add(message)
        await self.save()

    async def append(self, message: SlackMessage, more: str, tasks: Sequence[Chunk]) -> None:
        """Adds text to a stream."""
        shown = message.shown or ""
        with self._changing(message), _noticing_end(message):
            await self._call("chat.appendStream", {"ts": message.ts, "chunks": _chunks(more, tasks)})
            message.shown = shown + more
        _record_tasks(message, tasks)

    async def stop_stream(
        self, message: SlackMessage, content: OutgoingMessage | None, *, ending: Ending | None = None
    ) -> None:
        """Ends a stream, so that it shows the content, which begins with what it shows; None: as it is.

        ``ending``: how the tool calls end that it shows as running; None: they, and the agent's work, continue.
        """
        more = content.text.removeprefix(message.shown or "") if content else ""
        tasks = [_task(call, title, ending) for call, title in message.running_tools.items()] if ending else []
        args = {
            "ts": message.ts,
            "chunks": _chunks(more, tasks) or None,
            "blocks": list(content.below) or None if content else None,
            "metadata": self._metadata(message, content) if content else None,
            "session_status": None if ending or not self.reply.processing else "processing",
        }
        with self._changing(message), _noticing_end(message):
            await self._call("chat.stopStream", args)
            message.streaming = False
            if content:
                message.shown, message.content_hash = content.text, content.content_hash
        if ending:
            self.reply.processing = False  # chat.stopStream does that, unless told otherwise

    async def update(self, message: SlackMessage, content: OutgoingMessage) -> None:
        args = {"ts": message.ts, **content.args(), "metadata": self._metadata(message, content)}
        with self._changing(message):
            await self._call("chat.update", args)
            message.shown, message.content_hash = content.text, content.content_hash

    async def remove(self, message: SlackMessage) -> None:
        await self._call("chat.delete", {"ts": message.ts})

    async def _post(self, content: OutgoingMessage, payload: Mapping[str, Any]) -> str:
        # Links are not unfurled, as in a stream: a reply looks the same whichever way it was posted.
        shown = content.args()
        args = {
            "thread_ts": self.target.thread_ts or None,
            "text": shown["text"],
            "blocks": shown["blocks"] or None,
            "metadata": payload,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return str((await self._call("chat.postMessage", args))["ts"])

    def _add(self, message: SlackMessage) -> None:
        message.started_at = self._clock()
        self.reply.messages.append(message)
        self.reply.status = False  # Slack removes it when something is posted

    def _metadata(self, message: SlackMessage, content: OutgoingMessage) -> Mapping[str, Any]:
        return metadata(self._turn, part=self.reply.messages.index(message), mark=content.content_hash)

    async def _call(self, method: str, args: Mapping[str, Any]) -> dict[str, Any]:
        given = {"channel": self.asked_at.channel, **args}
        return await self._client.call(
            method, given, workspace=self.asked_at.workspace, delivery=self._delivery, max_wait=self._max_wait
        )

    @contextmanager
    def _changing(self, message: SlackMessage) -> Iterator[None]:
        """Until the answer is there, it is not known what the message shows."""
        before = message.shown, message.content_hash
        message.shown, message.content_hash = None, ""
        try:
            yield
        except NOT_DONE:
            message.shown, message.content_hash = before
            raise
        if message.shown is None:  # the call added nothing
            message.shown = before[0]


class _Appearing:
    """Until the answer is there, there may be a message that is not recorded."""

    def __init__(self, reply: SlackReply) -> None:
        self._reply = reply
        self._before = reply.needs_lookup

    def __enter__(self) -> None:
        self._reply.needs_lookup = True

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if exc is None or isinstance(exc, NOT_DONE):
            self._reply.needs_lookup = self._before


@contextmanager
def _noticing_end(message: SlackMessage) -> Iterator[None]:
    """Records when Slack says that a stream is over."""
    try:
        yield
    except Rejected as exc:
        if exc.reason in STREAM_OVER:
            message.streaming = False
        raise


def task(call: str, name: str, *, done: bool) -> Chunk:
    """Returns a tool call as a chunk: by the name of the tool alone, as its input may contain anything."""
    return _task(call, name.replace("_", " ")[:MAX_TITLE] or "tool", "complete" if done else "in_progress")


def _task(call: str, title: str, status: str) -> Chunk:
    return {"type": "task_update", "id": call, "title": title, "status": status}


def _chunks(text: str, tasks: Sequence[Chunk]) -> list[Chunk]:
    return [*tasks, {"type": "markdown_text", "text": text}] if text else list(tasks)


def _record_tasks(message: SlackMessage, tasks: Sequence[Chunk]) -> None:
    for chunk in tasks:
        message.running_tools.pop(chunk["id"], None)
        if chunk["status"] == "in_progress":
            message.running_tools[chunk["id"]] = chunk["title"]

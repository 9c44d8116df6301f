"""Shows a reply while it is written: as a stream where Slack accepts one, else as a message that is changed."""

from __future__ import annotations

from adapters.base.capabilities import Capabilities
from adapters.base.errors import RateLimitTimeout, Rejected
from adapters.base.preview import MAX_PAUSE, NO_WAIT, Preview
from adapters.slack import formatter
from adapters.slack.capabilities import SlackCapability, learn
from adapters.slack.message_writer import ENDED, SlackWriter
from adapters.slack.posted_reply import OutgoingMessage, SlackMessage, SlackReply
from adapters.slack.preview_buffer import SlackBuffer, presentable
from adapters.slack.status import SlackStatus
from gateway.domain.sentences import sentence
from gateway.languages import say
from gateway.ports.platform import DeliveryContext
from gateway.ports.token_buckets import Rate

STREAM_SECONDS = 240.0
"""Slack ends a stream that is five minutes old, whatever happens in it (python-slack-sdk issue 1859)."""
UPDATE_FACTOR = 3.0
"""By which changes of a message are slower than a stream: a workspace has 50 updates a minute, and 100 appends."""
POSTED = Rate(3.0, 5)
"""Messages of a workspace that are posted to be changed. Each needs one more chat.update at its end, which somebody
waits for: so no more are begun than can be ended beside everything else."""
LOOK_SECONDS = 1.0
"""From one look at what the assistant does to the next."""
STATUS_SECONDS = 90.0
"""After which a status is set again; Slack removes it after two minutes."""
THINKING = sentence("is thinking…")
"""Slack puts the bot's name in front, and so with the other one."""


class SlackPreview(Preview[SlackMessage, OutgoingMessage]):
    """See the base class."""

    _buffer: SlackBuffer
    _reply: SlackReply

    def __init__(
        self,
        writer: SlackWriter,
        status: SlackStatus,
        delivery: DeliveryContext,
        capabilities: Capabilities,
        *,
        seconds: float,
        streams: bool,
        shows_text: bool,
    ) -> None:
        """``seconds``: from one change of a stream to the next. ``streams``: whether the preview may be a stream."""
        super().__init__(SlackBuffer(), writer.reply, shows_text=shows_text)
        self._writer = writer
        self._status = status
        self._delivery = delivery
        self._capabilities = capabilities
        self._seconds = seconds
        self._streams = streams
        self._team = writer.target.workspace.team

    # ------------------------------------------------------------ the status

    async def show_activity(self) -> None:
        shown, until = "", 0.0
        while not self._buffer.closed:
            # A stream shows activity by itself, and has Slack's button. The button takes the place of our text.
            if not self._reply.streaming and not await self._status.show_button():
                grows = self._shows_text and bool(self._reply.messages) and not shown
                tool = self._buffer.tool
                doing = sentence("is using {tool}…", tool=tool) if tool else "" if grows else THINKING
                if doing and (doing != shown or self._clock() > until):
                    shown, until = doing, self._clock() + STATUS_SECONDS
                    await self._status.show(say(shown, self._reply.language))
            await self._buffer.wait_until_closed(LOOK_SECONDS)

    # ------------------------------------------------------------ the text

    @property
    def pace(self) -> float:
        changes = bool(self._reply.messages) and not self._reply.messages[-1].streaming
        return min(self._seconds * (UPDATE_FACTOR if changes else 1), max(MAX_PAUSE, self._seconds))

    async def wait_for_change(self) -> None:
        await self._buffer.wait_for_change()

    def contents(self, text: str) -> list[OutgoingMessage]:
        return [OutgoingMessage(piece) for piece in formatter.pieces(text) or [""]]

    async def begin(self, content: OutgoingMessage, *, complete: bool) -> None:
        text = content.text if complete else presentable(content.text, "")
        if not complete and await self._start_stream(text):
            return
        if not text:
            return
        bucket = f"slack:{self._team}:preview"
        if not complete and not await self._delivery.acquire(bucket, POSTED, max_wait=NO_WAIT):
            raise RateLimitTimeout
        await self._writer.post(OutgoingMessage(text))

    async def _start_stream(self, text: str) -> bool:
        """Returns whether the text is shown as a stream."""
        tasks = self._buffer.new_tasks()
        if not (text or tasks) or not self._streams or not self._capabilities.has(self._team, SlackCapability.STREAM):
            return False
        try:
            await self._writer.start_stream(text, tasks)
        except RateLimitTimeout:
            return False  # changes of a message have a limit of their own
        except Rejected as exc:
            self._streams = False
            learn(self._capabilities, self._team, SlackCapability.STREAM, exc)
            return False
        self._buffer.mark_shown(tasks)
        return True

    async def grow(self, message: SlackMessage, content: OutgoingMessage, *, complete: bool) -> bool:
        if message.shown is None or not content.text.startswith(message.shown):
            return False
        target = content if complete else OutgoingMessage(presentable(content.text, message.shown))
        if message.streaming:
            try:
                await self._stream(message, target, complete=complete)
            except Rejected as exc:
                if exc.reason != ENDED or not self._is_old(message):
                    raise
        # What was a stream goes on as a message that is changed: its age alone does not cut a reply in two.
        if not message.streaming and target.text != message.shown:
            await self._writer.update(message, target)
        return True

    async def _stream(self, message: SlackMessage, target: OutgoingMessage, *, complete: bool) -> None:
        more, tasks = target.text.removeprefix(message.shown or ""), self._buffer.new_tasks()
        if complete or self._is_old(message):  # ended before Slack does it
            await self._writer.stop_stream(message, target)
        elif more or tasks:
            await self._writer.append(message, more, tasks)
            self._buffer.mark_shown(tasks)

    def _is_old(self, message: SlackMessage) -> bool:
        return self._clock() - message.started_at > STREAM_SECONDS

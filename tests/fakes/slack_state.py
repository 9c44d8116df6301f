"""State of the fake Slack: workspaces, channels, users, messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.fakes.change_signal import ChangeSignal
from tests.fakes.slack_arguments import visible_text
from tests.fakes.slack_events import APP_TOKEN, BOT_ID, BOT_USER, TEAM, TOKEN, USER, channel_type_of
from tests.fakes.slack_faults import Json, PlatformFaults, RecordedCall, SlackError

SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "reactions:read",
    "reactions:write",
    "team:read",
    "usergroups:read",
    "users:read",
)
"""Default scopes of a token: all scopes the fake knows."""


ThreadAddress = tuple[str, str | None]
"""Channel id and thread_ts."""


@dataclass(slots=True)
class SlackWorkspace:
    team: str
    bot_user: str = BOT_USER
    bot_id: str = BOT_ID
    name: str = "Acme"


@dataclass(slots=True)
class TokenGrant:
    """The workspace and scopes that a token gives access to."""

    workspace: SlackWorkspace
    scopes: tuple[str, ...] = SCOPES
    expires_at: float | None = None
    revoked_error: str = ""
    """Error code returned to every caller that uses this token; empty while it is valid."""


@dataclass(frozen=True, slots=True)
class SlackFile:
    """A stored file; ``content`` is empty until it is uploaded."""

    id: str
    name: str
    mimetype: str
    team: str
    user: str
    title: str = ""
    content: bytes = b""
    extra_fields: Json = field(default_factory=dict)
    """Additional or overriding fields of the file's JSON, ``file_access`` for example."""


@dataclass(slots=True)
class SlackStream:
    """Stream state of a message. ``end_error`` is the error code for later appends; empty while it is live."""

    expires_at: float
    mode: str = ""
    """``chunks`` or ``markdown_text``, set by the first append; the other one is refused from then on."""
    end_error: str = ""
    chunks: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SlackMessageView:
    """A message as users see it now."""

    ts: str
    channel: str
    thread_ts: str | None
    """None for a top-level message."""
    user: str
    text: str
    """The visible text, from whichever argument it came."""
    blocks: list[Json]
    metadata: Json | None
    streaming: bool
    """Whether the stream is still open."""
    stream_chunks: list[Json]
    """All chunks streamed into it; ``markdown_text`` is stored as a chunk of that type."""
    files: list[SlackFile]
    edited: bool


@dataclass(slots=True)
class FakeSlackMessage:
    ts: str
    channel: SlackChannel
    user: str
    text: str = ""
    markdown: str = ""
    """Markdown content, from ``markdown_text`` or from a stream."""
    thread_ts: str | None = None
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    files: tuple[SlackFile, ...] = ()
    edited: Json | None = None
    bot: SlackWorkspace | None = None
    stream: SlackStream | None = None
    extra_fields: Json = field(default_factory=dict)
    cached_view: SlackMessageView | None = None

    @property
    def streaming(self) -> bool:
        return self.stream is not None and not self.stream.end_error

    def view(self) -> SlackMessageView:
        if self.cached_view is None:
            self.cached_view = SlackMessageView(
                ts=self.ts,
                channel=self.channel.id,
                thread_ts=self.thread_ts,
                user=self.user,
                text=visible_text(self.text, self.markdown, self.blocks),
                blocks=self.blocks.copy(),
                metadata=self.metadata,
                streaming=self.streaming,
                stream_chunks=self.stream.chunks.copy() if self.stream else [],
                files=list(self.files),
                edited=self.edited is not None,
            )
        return self.cached_view


@dataclass(slots=True)
class SlackChannel:
    id: str
    team: str
    name: str = "general"
    archived: bool = False
    bot_is_member: bool = True
    """Whether the bot is a member."""
    threadable: bool = True
    messages: dict[str, FakeSlackMessage] = field(default_factory=dict)
    threads: dict[str, list[FakeSlackMessage]] = field(default_factory=dict)
    """Thread replies by the ts of their root message."""

    @property
    def kind(self) -> str:
        return channel_type_of(self.id)


@dataclass(slots=True)
class AgentActivity:
    """What agents show in the UI, by thread."""

    statuses: dict[ThreadAddress, list[str]] = field(default_factory=dict)
    """All statuses set by assistant.threads.setStatus."""
    current_status: dict[ThreadAddress, tuple[str, float]] = field(default_factory=dict)
    """The status shown now, and when it expires."""
    session_statuses: dict[ThreadAddress, list[str]] = field(default_factory=dict)
    """All session statuses set by agents.sessions.setStatus."""
    thread_titles: dict[ThreadAddress, str] = field(default_factory=dict)
    suggested_prompts: dict[str, list[Json]] = field(default_factory=dict)
    """Suggested prompts by channel."""


class SlackState(ChangeSignal):
    """All state of the fake. Hold ``lock`` to read or write; ``change`` takes it and wakes the waiting threads."""

    def __init__(
        self, clock: Callable[[], float], stream_seconds: float, max_stream_bytes: int, *, is_agent: bool = True
    ) -> None:
        super().__init__()
        self.clock = clock
        self.stream_seconds = stream_seconds
        self.max_stream_bytes = max_stream_bytes
        self.url = ""
        self.faults = PlatformFaults()
        self.calls: list[RecordedCall] = []
        self.grants: dict[str, TokenGrant] = {}
        self.app_tokens = {APP_TOKEN}
        self.workspaces: dict[str, SlackWorkspace] = {}
        self.channels: dict[tuple[str, str], SlackChannel] = {}
        """By team and id."""
        self.users: dict[tuple[str, str], Json] = {}
        """By team and id."""
        self.messages: dict[str, FakeSlackMessage] = {}
        self.files: dict[str, SlackFile] = {}
        self.live_streams: dict[str, FakeSlackMessage] = {}
        """Messages whose stream is still open, by ts."""
        self.ephemeral_messages: list[Json] = []
        self.is_agent = is_agent
        self.agent_activity = AgentActivity()
        self.ids = count(1)
        self._last_ts = 0
        self.add_workspace(SlackWorkspace(TEAM))
        self.grants[TOKEN] = TokenGrant(self.workspaces[TEAM])

    def add_workspace(self, workspace: SlackWorkspace) -> None:
        """Adds a workspace with a few users and channels."""
        self.workspaces[workspace.team] = workspace
        for channel in ("D0DM", "C0CHAN", "G0GROUP"):
            self.ensure_channel(channel, workspace.team)
        for user in (USER, "U0BOB", workspace.bot_user):
            self.ensure_user(user, workspace.team)

    def ensure_user(self, user: str, team: str) -> Json:
        """Returns the user, creating it if it does not exist."""
        new = {"id": user, "team_id": team, "name": user.lower(), "tz": "Europe/Berlin"}
        return self.users.setdefault((team, user), new)

    def ensure_channel(self, channel: str, team: str) -> SlackChannel:
        """Returns the channel, creating it if it does not exist."""
        found = self.channels.get((team, channel))
        if found is None:
            found = self.channels[team, channel] = SlackChannel(channel, team)
        return found

    def new_ts(self) -> str:
        """Returns a ts later than every earlier one."""
        self._last_ts = max(self._last_ts + 1, int(time.time() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def find_channel(self, workspace: SlackWorkspace, channel: str) -> SlackChannel:
        """Returns a channel the bot may read; a user id means the direct messages with that user. Raises
        channel_not_found.
        """
        if (workspace.team, channel) in self.users:
            return self.ensure_channel(f"D{channel[1:]}", workspace.team)
        found = self.channels.get((workspace.team, channel))
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def add_message(self, message: FakeSlackMessage) -> FakeSlackMessage:
        """Adds a message to its channel and thread."""
        channel = message.channel
        self.messages[message.ts] = channel.messages[message.ts] = message
        if message.thread_ts is not None:
            channel.threads.setdefault(message.thread_ts, []).append(message)
        if message.bot is not None:
            self.agent_activity.current_status.pop((channel.id, message.thread_ts), None)
        if message.stream is not None:
            self.live_streams[message.ts] = message
        return message

    def remove_message(self, message: FakeSlackMessage) -> None:
        """Removes a message from its channel and thread."""
        del self.messages[message.ts], message.channel.messages[message.ts]
        self.live_streams.pop(message.ts, None)
        if message.thread_ts is not None:
            message.channel.threads[message.thread_ts].remove(message)

    def end_streams(self, messages: Iterable[FakeSlackMessage], error: str) -> list[str]:
        """Ends the streams of these messages; returns the ts of each stream that was live."""
        ended = []
        for message in list(messages):
            if message.stream is not None and message.streaming:
                message.stream.end_error = error
                message.cached_view = None
                del self.live_streams[message.ts]
                ended.append(message.ts)
        return ended

    def expire_streams(self) -> None:
        if self.live_streams:
            now = self.clock()
            old = [
                message for message in self.live_streams.values() if message.stream and message.stream.expires_at <= now
            ]
            self.end_streams(old, "message_not_in_streaming_state")

    def visible_messages(self, channel: str | None, topic: str | None) -> list[SlackMessageView]:
        self.expire_streams()
        found: Iterable[FakeSlackMessage] = self.messages.values() if channel is None else self._messages_of(channel)
        return [message.view() for message in found if topic is None or topic in {message.ts, message.thread_ts}]

    def _messages_of(self, channel: str) -> Iterator[FakeSlackMessage]:
        """Yields the messages of a channel in order; if several workspaces have a channel of this id, one workspace
        after the other.
        """
        for team in self.workspaces:
            if known := self.channels.get((team, channel)):
                yield from known.messages.values()

"""State of the fake Slack: workspaces, channels, users, messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.fakes.change_signal import Bell
from tests.fakes.slack_arguments import visible
from tests.fakes.slack_events import APP_TOKEN, BOT_ID, BOT_USER, TEAM, TOKEN, USER, kind_of
from tests.fakes.slack_faults import Call, Faults, Json, SlackError

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
    "users:read",
)
"""Default scopes of a token: all scopes the fake knows."""


Place = tuple[str, str | None]
"""Channel id and thread_ts."""


@dataclass(slots=True)
class Workspace:
    team: str
    bot_user: str = BOT_USER
    bot_id: str = BOT_ID
    name: str = "Acme"


@dataclass(slots=True)
class Grant:
    """The workspace and scopes that a token gives access to."""

    workspace: Workspace
    scopes: tuple[str, ...] = SCOPES
    expires_at: float | None = None
    revoked: str = ""
    """Error code returned to every caller that uses this token; empty while it is valid."""


@dataclass(frozen=True, slots=True)
class File:
    """A stored file; ``content`` is empty until it is uploaded."""

    id: str
    name: str
    mimetype: str
    team: str
    user: str
    title: str = ""
    content: bytes = b""
    more: Json = field(default_factory=dict)
    """Additional or overriding fields of the file's JSON, ``file_access`` for example."""


@dataclass(slots=True)
class Stream:
    """Stream state of a message. ``end_error`` is the error code for later appends; empty while it is live."""

    until: float
    mode: str = ""
    """``chunks`` or ``markdown_text``, set by the first append; the other one is refused from then on."""
    ended: str = ""
    chunks: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Posted:
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
    files: list[File]
    edited: bool
    reactions: list[str]


@dataclass(slots=True)
class Message:
    ts: str
    channel: Channel
    user: str
    text: str = ""
    markdown: str = ""
    """Markdown content, from ``markdown_text`` or from a stream."""
    thread_ts: str | None = None
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    files: tuple[File, ...] = ()
    edited: Json | None = None
    bot: Workspace | None = None
    stream: Stream | None = None
    reactions: list[tuple[str, str]] = field(default_factory=list)
    more: Json = field(default_factory=dict)
    posted: Posted | None = None

    @property
    def streaming(self) -> bool:
        return self.stream is not None and not self.stream.ended

    def shown(self) -> Posted:
        if self.posted is None:
            self.posted = Posted(
                ts=self.ts,
                channel=self.channel.id,
                thread_ts=self.thread_ts,
                user=self.user,
                text=visible(self.text, self.markdown, self.blocks),
                blocks=self.blocks.copy(),
                metadata=self.metadata,
                streaming=self.streaming,
                stream_chunks=self.stream.chunks.copy() if self.stream else [],
                files=list(self.files),
                edited=self.edited is not None,
                reactions=[name for name, _ in self.reactions],
            )
        return self.posted


@dataclass(slots=True)
class Channel:
    id: str
    team: str
    name: str = "general"
    archived: bool = False
    member: bool = True
    """Whether the bot is a member."""
    messages: dict[str, Message] = field(default_factory=dict)
    threads: dict[str, list[Message]] = field(default_factory=dict)
    """Thread replies by the ts of their root message."""

    @property
    def kind(self) -> str:
        return kind_of(self.id)


@dataclass(slots=True)
class Work:
    """What agents show in the UI, by thread."""

    statuses: dict[Place, list[str]] = field(default_factory=dict)
    """All statuses set by assistant.threads.setStatus."""
    showing: dict[Place, tuple[str, float]] = field(default_factory=dict)
    """The status shown now, and when it expires."""
    sessions: dict[Place, list[str]] = field(default_factory=dict)
    """All session statuses set by agents.sessions.setStatus."""
    titles: dict[Place, str] = field(default_factory=dict)
    prompts: dict[str, list[Json]] = field(default_factory=dict)
    """Suggested prompts by channel."""


class World(Bell):
    """All state of the fake. Hold ``lock`` to read or write; ``change`` takes it and wakes the waiting threads."""

    def __init__(self, clock: Callable[[], float], lifespan: float, stream_bytes: int, *, agent: bool = True) -> None:
        super().__init__()
        self.clock = clock
        self.lifespan = lifespan
        self.stream_bytes = stream_bytes
        self.url = ""
        self.faults = Faults()
        self.calls: list[Call] = []
        self.grants: dict[str, Grant] = {}
        self.app_tokens = {APP_TOKEN}
        self.workspaces: dict[str, Workspace] = {}
        self.channels: dict[tuple[str, str], Channel] = {}
        """By team and id."""
        self.users: dict[tuple[str, str], Json] = {}
        """By team and id."""
        self.messages: dict[str, Message] = {}
        self.files: dict[str, File] = {}
        self.live: dict[str, Message] = {}
        """Messages whose stream is still open, by ts."""
        self.whispers: list[Json] = []
        self.views: dict[str, Json] = {}
        self.agent = agent
        self.work = Work()
        self.numbers = count(1)
        self.echo: Callable[[Message], None] | None = None
        """Called with every message a bot posts."""
        self._last = 0
        self.settle_in(Workspace(TEAM))
        self.grants[TOKEN] = Grant(self.workspaces[TEAM])

    def settle_in(self, workspace: Workspace) -> None:
        """Adds a workspace with a few users and channels."""
        self.workspaces[workspace.team] = workspace
        for channel in ("D0DM", "C0CHAN", "G0GROUP"):
            self.enter(channel, workspace.team)
        for user in (USER, "U0BOB", workspace.bot_user):
            self.meet(user, workspace.team)

    def meet(self, user: str, team: str) -> Json:
        """Returns the user, creating it if it does not exist."""
        new = {"id": user, "team_id": team, "name": user.lower(), "tz": "Europe/Berlin"}
        return self.users.setdefault((team, user), new)

    def enter(self, channel: str, team: str) -> Channel:
        """Returns the channel, creating it if it does not exist."""
        found = self.channels.get((team, channel))
        if found is None:
            found = self.channels[team, channel] = Channel(channel, team)
        return found

    def new_ts(self) -> str:
        """Returns a ts later than every earlier one."""
        self._last = max(self._last + 1, int(time.time() * 1_000_000))
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def channel(self, workspace: Workspace, channel: str) -> Channel:
        """Returns a channel the bot may read; a user id means the direct messages with that user. Raises
        channel_not_found.
        """
        if (workspace.team, channel) in self.users:
            return self.enter(f"D{channel[1:]}", workspace.team)
        found = self.channels.get((workspace.team, channel))
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def put(self, message: Message) -> Message:
        """Adds a message to its channel and thread, and passes bot messages on to ``on_bot_message``."""
        channel = message.channel
        self.messages[message.ts] = channel.messages[message.ts] = message
        if message.thread_ts is not None:
            channel.threads.setdefault(message.thread_ts, []).append(message)
        if message.bot is not None:
            self.work.showing.pop((channel.id, message.thread_ts), None)
            if self.echo is not None:
                self.echo(message)
        if message.stream is not None:
            self.live[message.ts] = message
        return message

    def drop(self, message: Message) -> None:
        """Removes a message from its channel and thread."""
        del self.messages[message.ts], message.channel.messages[message.ts]
        self.live.pop(message.ts, None)
        if message.thread_ts is not None:
            message.channel.threads[message.thread_ts].remove(message)

    def end_streams(self, messages: Iterable[Message], why: str) -> list[str]:
        """Ends the streams of these messages; returns the ts of each stream that was live."""
        ended = []
        for message in list(messages):
            if message.stream is not None and message.streaming:
                message.stream.ended = why
                message.posted = None
                del self.live[message.ts]
                ended.append(message.ts)
        return ended

    def end_old_streams(self) -> None:
        if self.live:
            now = self.clock()
            old = [message for message in self.live.values() if message.stream and message.stream.until <= now]
            self.end_streams(old, "message_not_in_streaming_state")

    def said(self, channel: str | None, topic: str | None) -> list[Posted]:
        self.end_old_streams()
        found: Iterable[Message] = self.messages.values() if channel is None else self._in(channel)
        return [message.shown() for message in found if topic is None or topic in {message.ts, message.thread_ts}]

    def _in(self, channel: str) -> Iterator[Message]:
        """Yields the messages of a channel in order; if several workspaces have a channel of this id, one workspace
        after the other.
        """
        for team in self.workspaces:
            if known := self.channels.get((team, channel)):
                yield from known.messages.values()

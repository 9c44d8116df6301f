"""A third platform, as small as the kit allows: a board in memory, on which a post that is repeated is posted once.

The first half is what an adapter has; the second is the fake and a scene for the contracts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from adapters.base.api_client import ApiClient
from adapters.base.chat_adapter import ChatAdapter
from adapters.base.error_map import CallErrors
from adapters.base.errors import Rejected
from adapters.base.markdown.splitting import cut
from adapters.base.message_writer import MessageWriter
from adapters.base.posted_reply import PostedReply
from adapters.base.preview import Preview
from adapters.base.reconciler import Reconciler
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Content, File
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.domain.stream_buffer import TextBuffer
from gateway.ports.platform import DeliveryContext, Destination
from gateway.ports.token_buckets import Rate
from tests.contracts.reply_scene import MortalDelivery, ReplyScene
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.platform_faults import (
    ConnectionRefused,
    HangingCall,
    HttpStatus,
    PlatformFaults,
    RateLimit,
    ResponseLost,
)
from tests.fakes.simulated_crash import CrashAfterSteps

MAX_CHARACTERS = 4096
STOPPED = " (stopped)"
ERRORS = CallErrors("Board", "BOARD_URL", lambda _: True, lambda exc: type(exc).__name__)


class BoardClient(ApiClient):
    platform = "Board"

    def __init__(self, board: BoardServer) -> None:
        self._board = board

    def translate(self, method: str, exc: Exception) -> DeliveryError:
        if isinstance(exc, BoardError):
            seconds = exc.retry_after
            refused = Rejected(f"The board refused {method}: {exc.code}.", reason=exc.code)
            return refused if seconds is None else ERRORS.rate_limited(method, seconds)
        return ERRORS.interrupted(method, exc)

    async def close(self) -> None:
        """Has nothing open."""

    async def call(self, method: str, delivery: DeliveryContext, max_wait: float, **args: Any) -> str:
        async def send() -> str:
            with self.translated(method):
                return await self._board.call(method, args)

        return await self.limited(send, delivery, {f"board:{method}": Rate(1.0, 5)}, max_wait=max_wait)


@dataclass(slots=True, eq=False)
class BoardMessage:
    id: str
    shown: str | None = None


@dataclass(eq=False)
class BoardReply(PostedReply[BoardMessage]):
    def restore_message(self, entry: str) -> None:
        self.messages.append(BoardMessage(entry))

    def message_entries(self) -> list[str]:
        return [message.id for message in self.messages]


class BoardWriter(MessageWriter[BoardMessage, str]):
    GONE = "gone"

    reply: BoardReply

    def __init__(
        self, client: BoardClient, turn: TurnId, delivery: DeliveryContext, reply: BoardReply, max_wait: float
    ) -> None:
        super().__init__(delivery, reply, max_wait=max_wait)
        self._client = client
        self._turn = turn

    async def post(self, content: str) -> None:
        number = len(self.reply.messages)
        self.reply.messages.append(BoardMessage(await self.call("post", key=f"{number}", text=content), content))
        await self.save()

    async def post_file_line(self, content: str, number: int) -> None:
        await self.post_file(number, text=content)

    async def post_file(self, number: int, **args: Any) -> None:
        method = "file" if "name" in args else "post"
        await self.save_file(number, await self.call(method, key=f"file{number}", **args))

    async def update(self, message: BoardMessage, content: str) -> None:
        before, message.shown = message.shown, None
        try:
            await self.call("edit", id=message.id, text=content)
        except Rejected:
            message.shown = before
            raise
        message.shown = content

    async def remove(self, message: BoardMessage) -> None:
        await self.call("remove", id=message.id)

    async def call(self, method: str, **args: Any) -> str:
        if "key" in args:
            args["key"] = f"{self._turn}:{args['key']}"
        return await self._client.call(method, self._delivery, self._max_wait, **args)


class BoardReconciler(Reconciler[BoardMessage, str]):
    REFUSED_CONTENT = frozenset({"markup"})
    UNCHANGEABLE = UNDELETABLE = frozenset({"gone"})

    _writer: BoardWriter

    async def resolve_doubt(self, contents: list[str]) -> None:
        """Has nothing to do: a repeated post is posted once."""

    async def finish_last_file(self) -> None:
        """Has nothing to do, likewise."""

    async def change(self, message: BoardMessage, content: str) -> None:
        if message.shown != content:
            await self._writer.update(message, content)

    def plainer(self, content: str) -> list[str] | None:
        plain = content.replace("*", "")
        return None if plain == content else [plain]

    async def delete(self, message: BoardMessage) -> None:
        await self._writer.delete(message)

    async def show_stopped(self, message: BoardMessage) -> None:
        if message.shown and not message.shown.endswith(STOPPED):
            await self._writer.update(message, message.shown + STOPPED)

    async def upload(self, file: File, content: Content) -> None:
        if not content.size:
            raise Rejected("the file is empty")
        await self._writer.post_file(len(self._reply.files), name=file.name)

    async def post_missing_file(self, text: str, number: int) -> None:
        await self._writer.post_file_line(text, number)


class BoardPreview(Preview[BoardMessage, str]):
    def __init__(self, writer: BoardWriter, pace: float) -> None:
        super().__init__(TextBuffer(), writer.reply, shows_text=True)
        self._writer = writer
        self._pace = pace

    @property
    def pace(self) -> float:
        return self._pace

    async def show_activity(self) -> None:
        if self._buffer.closed:
            return
        try:
            await self._writer.call("typing")
        except DeliveryError:
            return

    async def wait_for_change(self) -> None:
        await self._buffer.wait_for_change()

    def contents(self, text: str) -> list[str]:
        return formatted(text)

    async def begin(self, content: str, *, complete: bool) -> None:
        await self._writer.post(content)

    async def grow(self, message: BoardMessage, content: str, *, complete: bool) -> bool:
        if message.shown != content:
            await self._writer.update(message, content)
        return True


class BoardReplies(ChatAdapter[BoardReply, BoardWriter, BoardMessage, str]):
    _client: BoardClient

    def __init__(self, client: BoardClient, pace: float) -> None:
        super().__init__(client)
        self._pace = pace

    def destination(self, place: ConversationKey) -> Destination:
        return Destination(place, {})

    def new_reply(self, turn: Turn, delivery: DeliveryContext) -> BoardReply:
        return BoardReply()

    async def writer(self, turn: Turn, delivery: DeliveryContext, reply: BoardReply, *, max_wait: float) -> BoardWriter:
        return BoardWriter(self._client, turn.id, delivery, reply, max_wait)

    def preview(self, turn: Turn, delivery: DeliveryContext, writer: BoardWriter) -> BoardPreview:
        return BoardPreview(writer, self._pace)

    def reconciler(self, turn: Turn, delivery: DeliveryContext, writer: BoardWriter) -> BoardReconciler:
        return BoardReconciler(writer, turn, delivery)

    def formatted(self, turn: Turn, language: str) -> list[str]:
        return formatted(turn.reply)

    def plain(self, text: str) -> list[str]:
        return formatted(text)


def formatted(text: str) -> list[str]:
    return [part.strip() for part in cut(text, MAX_CHARACTERS)]


# ---------------------------------------------------------------- the fake


class BoardError(Exception):
    """The board refuses."""

    def __init__(self, code: str, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class BoardRefusal:
    code: str
    times: int | None = 1
    skip: int = 0


@dataclass
class BoardNote:
    text: str = ""
    file: str = ""


@dataclass
class BoardServer:
    notes: dict[str, BoardNote] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: PlatformFaults = field(default_factory=PlatformFaults)
    _ids: count[int] = field(default_factory=lambda: count(1))

    async def call(self, method: str, args: dict[str, Any]) -> str:
        self.calls.append(method)
        await asyncio.sleep(0)
        match fault := self.faults.next_for(method):
            case RateLimit():
                raise BoardError("rate_limit", fault.retry_after)
            case BoardRefusal():
                raise BoardError(fault.code)
            case HttpStatus() | ConnectionRefused():
                raise ConnectionResetError
            case HangingCall():
                await self.faults.new_release_event().wait()
        done = self._perform(method, args)
        if isinstance(fault, ResponseLost):
            raise ConnectionResetError
        return done

    def _perform(self, method: str, args: dict[str, Any]) -> str:
        if method in {"post", "file"}:
            if args["key"] not in self.keys:
                self.keys[args["key"]] = number = str(next(self._ids))
                self.notes[number] = BoardNote(args.get("text", ""), args.get("name", ""))
            return self.keys[args["key"]]
        if method == "edit":
            self._find(args["id"]).text = args["text"]
        elif method == "remove":
            self._find(args["id"])
            self.forget(args["id"])
        return ""

    def forget(self, number: str) -> None:
        del self.notes[number]
        self.keys = {key: known for key, known in self.keys.items() if known != number}

    def _find(self, number: str) -> BoardNote:
        if number not in self.notes:
            raise BoardError("gone")
        return self.notes[number]


class BoardScene(ReplyScene):
    POST, UPDATE, DELETE, ACTIVITY = "post", "edit", "remove", "typing"
    LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(12))
    REFUSED_CONTENT, REFUSED_FOR_GOOD = BoardRefusal("markup"), BoardRefusal("forbidden")
    post_bucket = "board:post"

    def __init__(self, pace: float) -> None:
        self._board, self._pace = BoardServer(), pace
        message = Message(ConversationKey("board"), "1", "Tell me.")
        self.turn = Turn(TurnId("turn_1"), 1, 1, message, TurnState.RUNNING)
        self.delivery = FakeDeliveryContext()
        self.replies = BoardReplies(BoardClient(self._board), pace)

    async def begin(self, mortal: CrashAfterSteps, **more: Any) -> None:
        self.delivery = MortalDelivery(mortal, files=self.delivery.files, **more)
        self.replies = BoardReplies(BoardClient(self._board), self._pace)

    @property
    def faults(self) -> PlatformFaults:
        return self._board.faults

    def texts(self) -> list[str]:
        return [note.text for note in self._board.notes.values() if not note.file]

    def files(self) -> list[str]:
        return [note.file for note in self._board.notes.values() if note.file]

    def expected(self, reply: str) -> list[str]:
        return formatted(reply)

    def plain(self, reply: str) -> str:
        return reply.replace("*", "")

    def assert_stands(self, reply: str) -> None:
        assert self.texts() == formatted(reply)
        assert self._saved() == [number for number, note in self._board.notes.items() if not note.file]

    def assert_stopped(self, text: str) -> None:
        assert self.texts() == [f"{text}{STOPPED}"]

    def erase(self, number: int) -> None:
        self._board.forget(self._saved()[number])

    def count(self, method: str) -> int:
        return self._board.calls.count(method)

    def _saved(self) -> Sequence[str]:
        return [entry for entry in self.delivery.posted_messages if not entry.startswith("file:")]

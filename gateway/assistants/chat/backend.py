"""The backend ``chat``: chat completions, which nearly every server has. The server keeps no state.

Each request carries the gateway's own transcript, up to a size limit, so repeating a request is always safe.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.api_client import Extras, Setup, Wire, find_model
from gateway.assistants.attachments import Piece, Words, load, not_ours, without_files
from gateway.assistants.error_map import CUT_SHORT, NOT_ALLOWED, BadRequest, NotThere, TooLong, complaint_in
from gateway.assistants.history import fit, size
from gateway.assistants.json_fields import part, parts, text, usage
from gateway.assistants.reply_accumulator import Draft
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import MAX_ROUNDS, TOO_MANY_ROUNDS, FunctionCall, perform
from gateway.assistants.transcription import hearing
from gateway.domain.errors import AssistantError, Misconfigured, Refused, Unavailable
from gateway.domain.models import (
    Answered,
    Exchange,
    File,
    RunEvent,
    RunId,
    RunStarted,
    TextDelta,
    ThreadId,
    Turn,
    Usage,
)
from gateway.ports.assistant import Attachments, History, no_attachments
from gateway.ports.check import Check
from gateway.settings import OPENAI_HOST
from gateway.tools import ToolBox

PATIENCE = 2
"""How often an interrupted answer is requested again before the error goes to the caller."""
BROKEN = frozenset({"abort", "error", "cancelled", "insufficient_system_resource"})
"""Values of ``finish_reason`` by which some servers report that the answer was interrupted."""

NO_REASONING = {"reasoning_effort": "none"}
"""OpenAI's models from gpt-5.6 on call functions in chat completions only if reasoning is switched off explicitly
(github.com/livekit/agents/pull/7169)."""

log = logs.get(__name__)


class Completion:
    """Assembles one answer from its chunks."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.finish = ""
        self.usage = Usage()
        self._text: list[str] = []
        self._calls: dict[object, Json] = {}

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def calls(self) -> list[FunctionCall]:
        return [
            FunctionCall(text(call["id"]) or f"call_{number}", text(call["name"]), "".join(call["arguments"]))
            for number, call in enumerate(self._calls.values())
        ]

    def take(self, chunk: Json) -> str:
        """Adds a chunk. Returns the text in it. Raises AssistantError if the chunk reports an error."""
        if error := chunk.get("error"):
            raise complaint_in(error)
        self.id = self.id or text(chunk.get("id"))
        self.model = self.model or text(chunk.get("model"))
        if chunk.get("usage"):
            self.usage = usage(chunk["usage"])  # some servers send running totals: the last one counts
        said = ""
        for choice in parts(chunk.get("choices"))[:1]:
            self.finish = text(choice.get("finish_reason")) or self.finish
            delta = part(choice.get("delta") or choice.get("message"))
            said = _words(delta.get("content")) + text(delta.get("refusal"))
            for place, call in enumerate(parts(delta.get("tool_calls"))):
                self._add(call, place)
        self._text.append(said)
        return said

    def check(self) -> None:
        """Raises AssistantError unless the answer is complete."""
        if not self.finish or self.finish in BROKEN:
            raise Unavailable(f"the answer was interrupted: {self.finish or 'no reason given'}")
        if self.finish == "length":
            raise Refused("the answer was cut at the length limit", code="incomplete", sentence=CUT_SHORT)
        if self.finish == "content_filter":
            raise Refused("the answer was filtered", code="incomplete", sentence=NOT_ALLOWED)

    def message(self) -> Json:
        """Returns the message to send back to the server together with the outputs of its calls."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.calls
        ]
        return {"role": "assistant", "content": self.text or None, "tool_calls": calls}

    def _add(self, piece: Json, place: int) -> None:
        """Adds a delta of a call: its deltas share an index, or an id or position if the server sends no index."""
        key = piece.get("index")
        key = (piece.get("id") or place) if key is None else key
        call = self._calls.setdefault(key, {"id": "", "name": "", "arguments": []})
        function = part(piece.get("function"))
        call["id"] = call["id"] or piece.get("id")
        call["name"] = call["name"] or function.get("name")
        call["arguments"].append(text(function.get("arguments")))


@dataclass
class Progress:
    """State of one turn during one call of run or resume."""

    turn: Turn
    past: list[Exchange]
    pieces: Sequence[Piece]
    """The files of the message."""
    draft: Draft = field(default_factory=Draft)
    usage: Usage = field(default_factory=Usage)
    rounds: list[Json] = field(default_factory=list)
    """Messages with function calls and their outputs, sent after the user's message."""
    completion: Completion = field(default_factory=Completion)
    started: bool = False
    shortened: bool = False

    def shorten(self) -> bool:
        """Drops half of the history, at most once. Returns whether there was something to drop."""
        if self.shortened or not self.past:
            return False
        self.past = fit(self.past, sum(map(size, self.past)) // 2)
        self.shortened = True
        return True

    def lighten(self, error: AssistantError) -> bool:
        """Drops part of a rejected request: first history, then files. Returns whether there was something to drop."""
        if isinstance(error, TooLong) and self.shorten():
            log.info(
                "history shortened after the server rejected the input as too long",
                turn=self.turn.id,
                exchanges=len(self.past),
            )
            return True
        words = without_files(self.pieces)
        if words is None:
            return False
        log.info("server rejected the request; repeating it without files", turn=self.turn.id, error=str(error))
        self.pieces = words
        return True


class Chat:
    """Runs turns by chat completions of one server."""

    name = "chat"

    def __init__(
        self, wire: Wire, setup: Setup, toolbox: ToolBox, *, history_chars: int = 48_000, pause: float = 1.0
    ) -> None:
        """``history_chars``: how many characters of history a request carries.

        ``retry_seconds``: pause before an interrupted answer is requested again.
        """
        self.description = f"{self.name} at {wire.host}, model {setup.model}"
        self._wire = wire
        self._setup = setup
        self._toolbox = toolbox
        self._history_chars = history_chars
        self._pause = pause
        streamed = {"stream_options": _stream_options(wire)} if setup.streamed else {}
        self._extras = Extras(streamed, on_demand=NO_REASONING)

    async def open_thread(self, history: Sequence[Exchange]) -> ThreadId:  # noqa: ARG002  # every run gets it anyway
        return ThreadId(f"chat_{secrets.token_hex(12)}")

    async def run(
        self,
        turn: Turn,
        thread: ThreadId,  # noqa: ARG002  # required by the port
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        past = fit(await history(), self._history_chars)
        state = Progress(turn, past, await load(turn, hearing(self._wire, self._setup, attachments)))
        for number in range(MAX_ROUNDS):
            async with aclosing(self._answer(state, str(number))) as events:
                async for event in events:
                    yield event
            completion = state.completion
            state.usage += completion.usage
            state.draft.whole(completion.text)
            if not completion.calls:
                yield Answered(state.draft.text, state.usage, model=completion.model)
                return
            outputs: dict[str, str] = {}
            async with aclosing(perform(self._toolbox, completion.calls, outputs)) as told:
                async for call in told:
                    yield call
            state.rounds += [completion.message(), *_outputs(outputs)]
        raise Refused("too many rounds of tools", code="too_many_rounds", sentence=TOO_MANY_ROUNDS)

    def resume(
        self,
        turn: Turn,
        thread: ThreadId,
        run_id: RunId | None,  # noqa: ARG002  # a completion cannot be resumed
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self.run(turn, thread, history, attachments)

    async def _answer(self, progress: Progress, name: str) -> AsyncGenerator[RunEvent, None]:
        """Yields one complete answer; requests it again if it is interrupted after some text was shown or tools ran."""
        failures = 0
        while True:
            try:
                async with aclosing(self._ask(progress, name)) as events:
                    async for event in events:
                        yield event
            except (TooLong, BadRequest) as exc:
                if not progress.lighten(exc):
                    raise
            except Unavailable as exc:
                failures += 1
                if failures > PATIENCE or not (progress.draft.shows or progress.rounds):
                    raise
                log.info("answer interrupted; requesting it again", turn=progress.turn.id, error=str(exc))
                await asyncio.sleep(self._pause)
            else:
                return
            progress.draft.again()

    async def _ask(self, progress: Progress, name: str) -> AsyncGenerator[RunEvent, None]:
        completion = progress.completion = Completion()
        try:
            async with self._wire.stream("/chat/completions", self._body(progress), self._extras) as events:
                async for _, chunk in events:
                    said = completion.take(chunk)
                    if not progress.started:
                        progress.started = True
                        yield RunStarted(RunId(completion.id or progress.turn.id))
                    if shown := progress.draft.delta(name, said):
                        yield TextDelta(shown)
        except NotThere as exc:
            raise Misconfigured(
                f"The server at {self._wire.host} has no chat completions at this address. Check OPENAI_BASE_URL: {exc}"
            ) from exc
        except Unavailable:
            if not completion.finish:  # else only the data after the answer was lost
                raise
        completion.check()

    def _body(self, progress: Progress) -> Json:
        earlier = [message for exchange in progress.past for message in _messages(exchange)]
        system = [{"role": "system", "content": self._setup.instructions}] if self._setup.instructions else []
        user_message = {"role": "user", "content": _content(progress.turn.message.said, progress.pieces)}
        body: Json = {
            "model": self._setup.model,
            "messages": [*system, *earlier, user_message, *progress.rounds],
            "stream": self._setup.streamed,
        }
        if self._toolbox:
            body["tools"] = [{"type": "function", "function": schema} for schema in self._toolbox.schemas]
        return body

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:
        """Does nothing: an answer ends when its connection is closed."""

    async def fetch(self, file: File) -> bytes:
        """Raises AssistantRefused: chat completions return no files."""
        raise not_ours(file)

    async def recall(self, thread: ThreadId) -> Sequence[Exchange] | None:  # noqa: ARG002  # only the gateway itself creates these threads
        return None

    async def forget(self, thread: ThreadId) -> None:
        """Does nothing: the server keeps no state."""

    async def close(self) -> None:
        await self._wire.close()

    async def check(self) -> Sequence[Check]:
        try:
            await self._find()
        except AssistantError as exc:
            return (Check("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (Check("assistant", ok=True, detail=self.description),)

    async def _find(self) -> None:
        try:
            await find_model(self._wire, self._setup.model)
        except NotThere:  # a server without GET /models can only be tested by a completion
            hello = [{"role": "user", "content": "Hello"}]
            await self._wire.post("/chat/completions", {"model": self._setup.model, "messages": hello, "max_tokens": 1})


def _stream_options(wire: Wire) -> Json:
    options = {"include_usage": True}
    if wire.host == OPENAI_HOST:
        options["include_obfuscation"] = False  # saves bytes; the connection is encrypted already
    return options


def _content(said: str, pieces: Sequence[Piece]) -> str | list[Json]:
    """Returns a plain string where that is enough, as not every server accepts content parts."""
    if all(isinstance(piece, Words) for piece in pieces):
        return "\n\n".join([said, *(piece.text for piece in pieces if isinstance(piece, Words))])
    return [{"type": "text", "text": said}, *map(_part, pieces)]


def _part(piece: Piece) -> Json:
    """Returns the content part of the API (developers.openai.com/api/docs/guides/file-inputs and .../images-vision).

    OpenAI accepts only PDF as a file here.
    """
    if isinstance(piece, Words):
        return {"type": "text", "text": piece.text}
    if piece.shows:
        return {"type": "image_url", "image_url": {"url": piece.data_url}}
    return {"type": "file", "file": {"filename": piece.name, "file_data": piece.data_url}}


def _messages(exchange: Exchange) -> list[Json]:
    said = (("user", exchange.text), ("assistant", exchange.reply))
    return [{"role": role, "content": content} for role, content in said if content]


def _outputs(outputs: dict[str, str]) -> list[Json]:
    return [{"role": "tool", "tool_call_id": call_id, "content": output} for call_id, output in outputs.items()]


def _words(content: object) -> str:
    """Returns the text of a string or of content parts; some servers send their reasoning in other parts."""
    if isinstance(content, str):
        return content
    return "".join(text(one.get("text")) for one in parts(content))

"""The backend ``chat``: chat completions, which nearly every server has and none remembers.

The past is our own transcript, as much of it as has room. The server keeps nothing, so asking again is always safe.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.attached import Piece, Words, load, not_ours, without_files
from gateway.assistants.calls import MAX_ROUNDS, TOO_MANY_ROUNDS, FunctionCall, perform
from gateway.assistants.client import Extras, Setup, Wire, find_model
from gateway.assistants.draft import Draft
from gateway.assistants.history import fit, size
from gateway.assistants.shapes import part, parts, text, usage
from gateway.assistants.speech import hearing
from gateway.assistants.sse import Json
from gateway.assistants.vendor_errors import CUT_SHORT, NOT_ALLOWED, BadRequest, NotThere, TooLong, complaint_in
from gateway.errors import AssistantError, Misconfigured, Refused, Unavailable
from gateway.messages import Answered, Exchange, File, RunEvent, RunId, RunStarted, TextDelta, ThreadId, Turn, Usage
from gateway.ports import Attachments, Check, History, no_attachments
from gateway.settings import OPENAI_HOST
from gateway.tools import ToolBox

PATIENCE = 2
"""How often a broken answer is asked for again before somebody else decides."""
BROKEN = frozenset({"abort", "error", "cancelled", "insufficient_system_resource"})
"""Reasons to finish by which some servers say that they broke off."""

NO_REASONING = {"reasoning_effort": "none"}
"""OpenAI's models from gpt-5.6 on call functions here only without reasoning, and want to be told so
(github.com/livekit/agents/pull/7169)."""

log = logs.get(__name__)


class Completion:
    """One answer while its chunks come in."""

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
        """More of the text. Raises AssistantError when the chunk tells of an error."""
        if error := chunk.get("error"):
            raise complaint_in(error)
        self.id = self.id or text(chunk.get("id"))
        self.model = self.model or text(chunk.get("model"))
        if chunk.get("usage"):
            self.usage = usage(chunk["usage"])  # some servers count up in every chunk: the last one counts
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
        """Raises AssistantError unless the answer is whole."""
        if not self.finish or self.finish in BROKEN:
            raise Unavailable(f"the answer broke off: {self.finish or 'no reason given'}")
        if self.finish == "length":
            raise Refused("the answer was cut at the length limit", code="incomplete", sentence=CUT_SHORT)
        if self.finish == "content_filter":
            raise Refused("the answer was filtered", code="incomplete", sentence=NOT_ALLOWED)

    def message(self) -> Json:
        """As it goes back to the server with the outputs of its calls."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.calls
        ]
        return {"role": "assistant", "content": self.text or None, "tool_calls": calls}

    def _add(self, piece: Json, place: int) -> None:
        """The pieces of a call share an index; where a server sends none, they share an id or a place."""
        key = piece.get("index")
        key = (piece.get("id") or place) if key is None else key
        call = self._calls.setdefault(key, {"id": "", "name": "", "arguments": []})
        function = part(piece.get("function"))
        call["id"] = call["id"] or piece.get("id")
        call["name"] = call["name"] or function.get("name")
        call["arguments"].append(text(function.get("arguments")))


@dataclass
class Progress:
    """What is known of a turn during one call of run or resume."""

    turn: Turn
    past: list[Exchange]
    pieces: Sequence[Piece]
    """What came with the message."""
    draft: Draft = field(default_factory=Draft)
    usage: Usage = field(default_factory=Usage)
    rounds: list[Json] = field(default_factory=list)
    """Calls of functions and their outputs."""
    completion: Completion = field(default_factory=Completion)
    started: bool = False
    shortened: bool = False

    def shorten(self) -> bool:
        """Whether there was something of the past to leave out: half of it, once."""
        if self.shortened or not self.past:
            return False
        self.past = fit(self.past, sum(map(size, self.past)) // 2)
        self.shortened = True
        return True

    def lighten(self, error: AssistantError) -> bool:
        """Whether there was something to leave out of what the server did not take: the past, then the files."""
        if isinstance(error, TooLong) and self.shorten():
            log.info("past shortened", turn=self.turn.id, exchanges=len(self.past))
            return True
        words = without_files(self.pieces)
        if words is None:
            return False
        log.info("asking without files", turn=self.turn.id, error=str(error))
        self.pieces = words
        return True


class Chat:
    """Chat completions of one server."""

    name = "chat"

    def __init__(
        self, wire: Wire, setup: Setup, toolbox: ToolBox, *, history_chars: int = 48_000, pause: float = 1.0
    ) -> None:
        """``history_chars``: how much of the past is sent along.

        ``pause``: seconds before an answer that broke is asked for again.
        """
        self.description = f"{self.name} at {wire.host}, model {setup.model}"
        self._wire = wire
        self._setup = setup
        self._toolbox = toolbox
        self._history_chars = history_chars
        self._pause = pause
        streamed = {"stream_options": _stream_options(wire)} if setup.streamed else {}
        self._extras = Extras(streamed, on_demand=NO_REASONING)

    async def open_thread(self, history: Sequence[Exchange]) -> ThreadId:  # noqa: ARG002  # it comes with each turn
        return ThreadId(f"chat_{secrets.token_hex(12)}")

    async def run(
        self,
        turn: Turn,
        thread: ThreadId,  # noqa: ARG002  # the port's
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        past = fit(await history(), self._history_chars)
        progress = Progress(turn, past, await load(turn, hearing(self._wire, self._setup, attachments)))
        for number in range(MAX_ROUNDS):
            async with aclosing(self._answer(progress, str(number))) as events:
                async for event in events:
                    yield event
            completion = progress.completion
            progress.usage += completion.usage
            progress.draft.whole(completion.text)
            if not completion.calls:
                yield Answered(progress.draft.text, progress.usage, model=completion.model)
                return
            outputs: dict[str, str] = {}
            async with aclosing(perform(self._toolbox, completion.calls, outputs)) as told:
                async for call in told:
                    yield call
            progress.rounds += [completion.message(), *_outputs(outputs)]
        raise Refused("too many rounds of tools", code="too_many_rounds", sentence=TOO_MANY_ROUNDS)

    def resume(
        self,
        turn: Turn,
        thread: ThreadId,
        run_id: RunId | None,  # noqa: ARG002  # a completion cannot be taken up again
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self.run(turn, thread, history, attachments)

    async def _answer(self, progress: Progress, name: str) -> AsyncGenerator[RunEvent, None]:
        """One whole answer, asked for again where it broke after something of the turn was shown or done."""
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
                log.info("asking again", turn=progress.turn.id, error=str(exc))
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
                f"The server at {self._wire.host} has no chat completions there. Check OPENAI_BASE_URL: {exc}"
            ) from exc
        except Unavailable:
            if not completion.finish:  # else only what follows the answer was lost
                raise
        completion.check()

    def _body(self, progress: Progress) -> Json:
        said = [message for exchange in progress.past for message in _messages(exchange)]
        system = [{"role": "system", "content": self._setup.instructions}] if self._setup.instructions else []
        mine = {"role": "user", "content": _content(progress.turn.message.said, progress.pieces)}
        body: Json = {
            "model": self._setup.model,
            "messages": [*system, *said, mine, *progress.rounds],
            "stream": self._setup.streamed,
        }
        if self._toolbox:
            body["tools"] = [{"type": "function", "function": schema} for schema in self._toolbox.schemas]
        return body

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:
        """An answer ends with its connection."""

    async def fetch(self, file: File) -> bytes:
        """Completions bring no files."""
        raise not_ours(file)

    async def recall(self, thread: ThreadId) -> Sequence[Exchange] | None:  # noqa: ARG002  # nobody else opens threads here
        return None

    async def forget(self, thread: ThreadId) -> None:
        """Nothing is kept at the server."""

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
        except NotThere:  # a server that does not tell of models has to be asked for something
            hello = [{"role": "user", "content": "Hello"}]
            await self._wire.post("/chat/completions", {"model": self._setup.model, "messages": hello, "max_tokens": 1})


def _stream_options(wire: Wire) -> Json:
    options = {"include_usage": True}
    if wire.host == OPENAI_HOST:
        options["include_obfuscation"] = False  # saves bytes; the way there is private already
    return options


def _content(said: str, pieces: Sequence[Piece]) -> str | list[Json]:
    """A plain text where that is enough: not every server takes parts."""
    if all(isinstance(piece, Words) for piece in pieces):
        return "\n\n".join([said, *(piece.text for piece in pieces if isinstance(piece, Words))])
    return [{"type": "text", "text": said}, *map(_part, pieces)]


def _part(piece: Piece) -> Json:
    """developers.openai.com/api/docs/guides/file-inputs and .../images-vision: OpenAI takes files here that are PDF."""
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
    """Text, or the text among parts: some servers put their reasoning beside it."""
    if isinstance(content, str):
        return content
    return "".join(text(one.get("text")) for one in parts(content))

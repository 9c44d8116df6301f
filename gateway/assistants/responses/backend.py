"""The backend ``responses`` (Responses API): a conversation is the thread, a response is the run.

One POST per turn. A background response, if the server supports it, outlives its connection and its process and is
found again by its id; a plain one ends with its connection. In both cases the items of a run are added to the
conversation when it completes, and not before: so results of an earlier attempt are looked up in the conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.api_client import SILENCE_SECONDS, Extras, Setup, Wire, find_model, segment
from gateway.assistants.attachments import MOST_BYTES, fetching, load, not_ours, unlinked, without_files
from gateway.assistants.error_map import BadFile, BadRequest, NotThere, TooLong
from gateway.assistants.json_fields import parts, text, usage
from gateway.assistants.reply_accumulator import Draft
from gateway.assistants.responses.conversations import ServerConversations
from gateway.assistants.responses.items import (
    Reading,
    files_in,
    first_text,
    image_of,
    message,
    open_calls,
    output_item,
    over,
    replies,
    why_not,
)
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import MAX_ROUNDS, TOO_MANY_ROUNDS, FunctionCall, perform
from gateway.assistants.transcription import hearing
from gateway.domain.errors import AssistantError, Misconfigured, RateLimited, Refused, ThreadLost, Unavailable
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
from gateway.tools import ToolBox

DEFAULT_MODEL = "gpt-6-luna"
"""OpenAI's low-cost model of the newest generation, which it recommends for what gpt-4o and gpt-4.1 did; those end on
2027-01-14 (developers.openai.com/api/docs/deprecations)."""
QUEUE_SECONDS = 120.0

log = logs.get(__name__)


@dataclass
class Progress:
    """State of one turn during one call of run or resume."""

    turn: Turn
    thread: ThreadId
    attachments: Attachments = no_attachments
    plain: Json | None = None
    """The message without its files, as long as the server may still reject them."""
    draft: Draft = field(default_factory=Draft)
    told: set[tuple[str, bool]] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    """The model that answered, as the server names it."""
    response: Json = field(default_factory=dict)
    """The newest finished response."""
    files: dict[str, File] = field(default_factory=dict)
    """Files that the assistant made, by reference."""

    def settle(self) -> list[FunctionCall]:
        """Adds the results of the response. Returns the calls it waits for. Raises AssistantError if it failed."""
        if error := why_not(self.response):
            raise error
        items = parts(self.response.get("output"))
        self.usage += usage(self.response.get("usage"))
        self.model = text(self.response.get("model")) or self.model
        for reply in replies(items):
            self.draft.whole(reply)
        name = text(self.response.get("id"))
        origin = f"response {name}" if name else f"conversation {self.thread}"
        self.files |= {file.reference: file for file in files_in(items, origin)}
        self.plain = None
        return open_calls(items)

    def plainer(self, error: Refused) -> list[Json]:
        """Returns the items to post after a rejection: without files. Raises ``error`` if there were none."""
        if self.plain is None:
            raise error
        log.info("server rejected the request; repeating it without files", turn=self.turn.id, error=str(error))
        self.draft.again()
        plain, self.plain = self.plain, None
        return [plain]


class Responses:
    """Runs turns by conversations and responses of one server."""

    name = "responses"

    def __init__(self, wire: Wire, setup: Setup, toolbox: ToolBox) -> None:
        self.description = f"{self.name} at {wire.host}, model {setup.model}"
        self._wire = wire
        self._setup = setup
        self._toolbox = toolbox
        functions = ({"type": "function", **schema, "strict": False} for schema in toolbox.schemas)
        self._tools = [*setup.hosted, *functions]
        self._extras = Extras(_extras(setup))
        self._conversations = ServerConversations(wire)
        self._detached = False
        """Whether the newest response of the server ran in the background."""

    # ------------------------------------------------------------ threads

    async def open_thread(self, history: Sequence[Exchange]) -> ThreadId:
        return await self._conversations.open(history)

    async def recall(self, thread: ThreadId) -> Sequence[Exchange] | None:
        return await self._conversations.recall(thread)

    async def forget(self, thread: ThreadId) -> None:
        await self._conversations.forget(thread)

    # ------------------------------------------------------------ runs

    def run(
        self,
        turn: Turn,
        thread: ThreadId,
        history: History,  # noqa: ARG002  # required by the port
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self._drive(self._begin(turn, thread, attachments), None, new=True)

    async def resume(
        self,
        turn: Turn,
        thread: ThreadId,
        run_id: RunId | None,
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._begin(turn, thread, attachments)
        left = await self._left(state, run_id, history)
        async with aclosing(self._drive(state, left)) as events:
            async for event in events:
                if left and isinstance(event, RunStarted):
                    left = None
                    state = await self._late(state, event.run_id, history)
                    if state.response:
                        break
                yield event
            else:
                return
        async with aclosing(self._drive(state, None)) as events:
            async for event in events:
                yield event

    def _begin(self, turn: Turn, thread: ThreadId, attachments: Attachments) -> Progress:
        return Progress(turn, thread, hearing(self._wire, self._setup, attachments))

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:  # noqa: ARG002  # required by the port
        if run_id is not None:
            await self._stop(run_id)

    async def fetch(self, file: File) -> bytes:
        """Downloads "container <id> <file id>", "response <id> <item id>" or "conversation <id> <item id>"."""
        kind, _, rest = file.reference.partition(" ")
        where, _, name = rest.partition(" ")
        with fetching(file):
            if kind == "container":
                path = f"/containers/{segment(where)}/files/{segment(name)}/content"
                return await self._wire.content(path, MOST_BYTES)
            if kind == "response":
                return image_of(parts((await self._wire.get(_response_path(where))).get("output")), name)
            if kind == "conversation":
                return image_of([await self._conversations.item(where, name)], name)
        raise not_ours(file)

    async def _drive(
        self, progress: Progress, items: list[Json] | None, *, new: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """Posts items (None: starts with the response in ``state``) and runs tools until there is an answer.

        ``post_message``: posts the turn's message instead of ``items``.
        """
        if new:
            items = await _message(progress)
        for _ in range(MAX_ROUNDS):
            try:
                if items is not None:
                    async with aclosing(self._post(progress, items)) as events:
                        async for event in events:
                            yield event
                calls = progress.settle()
            except (BadRequest, TooLong) as exc:
                items = progress.plainer(exc)
                continue
            if rest := progress.draft.rest():
                yield TextDelta(rest)
            if not calls:
                files = tuple(progress.files.values())
                yield Answered(unlinked(progress.draft.text), progress.usage, files, progress.model)
                return
            outputs: dict[str, str] = {}
            async with aclosing(perform(self._toolbox, calls, outputs)) as told:
                async for call in told:
                    yield call
            items = [output_item(call_id, output) for call_id, output in outputs.items()]
        raise Refused("too many rounds of tools", code="too_many_rounds", sentence=TOO_MANY_ROUNDS)

    async def _post(self, progress: Progress, items: list[Json]) -> AsyncGenerator[RunEvent, None]:
        """Creates a response and follows it to its end. Raises AssistantUnavailable if it did not start or is lost."""
        reading = Reading(progress.draft, progress.told)
        silence = SILENCE_SECONDS if self._detached else None
        try:
            async with self._wire.stream(
                "/responses", self._body(progress, items), self._extras, silence=silence
            ) as events:
                async for name, data in events:
                    for event in reading.take(name, data):
                        yield event
                    del data  # not kept while the next is waited for
                    if reading.over:
                        break
        except (NotThere, BadRequest) as exc:
            raise await self._rejection(exc, progress.thread) from exc
        except Unavailable as exc:
            if not reading.id:
                raise
            log.info("response stream interrupted; polling the response", run=reading.id, error=str(exc))
        if not reading.id:
            raise Unavailable("the stream ended before the response started")
        self._detached = reading.detached
        if not reading.over:
            for event in reading.see(await self._ended(reading.id)):
                yield event
        progress.response = reading.response

    async def _ended(self, run_id: str) -> Json:
        """Polls a response until it is finished. Raises AssistantUnavailable if the server no longer has it.

        Now and then a response whose caller disconnects at once stays queued for ever
        (community.openai.com/t/1382584): it is cancelled, and AssistantRateLimited raised, as it never started.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + QUEUE_SECONDS

        def settled(response: Json) -> bool:
            return over(response) or (response.get("status") == "queued" and loop.time() >= deadline)

        try:
            response = await self._wire.until(_response_path(run_id), settled, every=self._setup.poll_seconds)
        except NotThere as exc:
            raise Unavailable(f"the response is lost: {exc}") from exc
        if not over(response):
            await self._stop(run_id)
            raise RateLimited(f"the response was still queued after {QUEUE_SECONDS:g} s", retry_after=0.0)
        return response

    async def _stop(self, run_id: str) -> None:
        with suppress(NotThere, BadRequest):  # finished, or not in background: ends with its connection
            await self._wire.post(f"{_response_path(run_id)}/cancel", {})

    def _body(self, progress: Progress, items: list[Json]) -> Json:
        body: Json = {
            "model": self._setup.model,
            "conversation": progress.thread,
            "input": items,
            "store": True,
            "stream": self._setup.streamed,
            "metadata": {"turn_id": progress.turn.id},
        }
        if self._setup.instructions:
            body["instructions"] = self._setup.instructions  # a conversation does not store them
        if self._tools:
            body["tools"] = self._tools
        return body

    # ------------------------------------------------------------ results of an earlier attempt

    async def _left(self, progress: Progress, run_id: RunId | None, history: History) -> list[Json] | None:
        """Returns the items still to post; None if ``state.response`` was found and is to be continued."""
        if run_id is not None:
            with suppress(Unavailable):  # lost: then the conversation shows whether it completed
                response = await self._ended(run_id)
                if not isinstance(why_not(response), Unavailable | RateLimited | BadFile):
                    return await self._after_response(progress, response)
        items = await self._after_message(progress, history)
        return await _message(progress) if items is None else _go_on(progress, items)

    async def _after_response(self, progress: Progress, response: Json) -> list[Json] | None:
        """Continues from a finished response; from later items if the outputs of its calls were posted already."""
        calls = {call.id for call in open_calls(parts(response.get("output")))}
        behind: list[Json] = []
        if calls:
            async with aclosing(self._conversations.newest(progress.thread)) as items:
                async for item in items:
                    if item.get("type") == "function_call_output" and item.get("call_id") in calls:
                        return _go_on(progress, behind[::-1])
                    if item.get("call_id") in calls or item.get("role") == "user":
                        break
                    behind.append(item)
        progress.response = response
        return None

    async def _after_message(self, progress: Progress, history: History) -> list[Json] | None:
        """Returns the items after the turn's message, oldest first; None if the conversation does not have it.

        Items carry no id of the gateway. So the newest user message must have the turn's text; if the user sent the
        same text several times in a row, it must occur once more than in the turns before.
        """
        mine = progress.turn.message.said.strip()
        behind: list[Json] = []
        same = 0
        async with aclosing(self._conversations.newest(progress.thread)) as items:
            async for item in items:
                if item.get("type") == "message" and item.get("role") == "user":
                    if first_text(item).strip() != mine:
                        break
                    same += 1
                elif not same:
                    behind.append(item)
        return behind[::-1] if same and same > await _times_said(mine, history) else None

    async def _late(self, progress: Progress, run_id: RunId, history: History) -> Progress:
        """Looks for an answer again, as an earlier attempt may have completed between the lookup and the post.

        Now the new run has the conversation locked. If there is an answer, cancels the new run and returns a state
        with that answer; else returns ``state``.
        """
        late = Progress(progress.turn, progress.thread)
        items = await self._after_message(progress, history)
        if not items or _go_on(late, items) is not None:
            return progress
        log.info("earlier run has answered; cancelling the new run", run=run_id)
        await self._stop(run_id)
        return late

    # ------------------------------------------------------------ the server

    async def close(self) -> None:
        await self._wire.close()

    async def check(self) -> Sequence[Check]:
        try:
            with suppress(NotThere):
                await find_model(self._wire, self._setup.model)
            await self._conversations.find()
        except AssistantError as exc:
            return (Check("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (Check("assistant", ok=True, detail=self.description),)

    async def _rejection(self, error: NotThere | BadRequest, thread: ThreadId) -> AssistantError:
        """Returns the error for a rejected response."""
        if isinstance(error, BadRequest):
            return ThreadLost(str(error)) if error.param == "conversation" else error
        if not await self._conversations.knows(thread):
            return ThreadLost(str(error))
        return Misconfigured(
            f"The server at {self._wire.host} has no Responses API. Set ASSISTANT_BACKEND=chat: {error}"
        )


def _response_path(run_id: str) -> str:
    return f"/responses/{segment(run_id)}"


async def _message(progress: Progress) -> list[Json]:
    said, pieces = progress.turn.message.said, await load(progress.turn, progress.attachments)
    words = without_files(pieces)
    progress.plain = None if words is None else message(said, words)
    return [message(said, pieces)]


def _extras(setup: Setup) -> Json:
    extras: Json = {"background": True, "truncation": "auto"}
    if setup.streamed:
        extras["stream_options"] = {"include_obfuscation": False}  # saves bytes; the connection is encrypted already
    if any(tool.get("type") == "code_interpreter" for tool in setup.hosted):
        extras["include"] = ["code_interpreter_call.outputs"]
    return extras


def _go_on(progress: Progress, items: list[Json]) -> list[Json] | None:
    """Uses items of the conversation as the response. Returns [] (post without a message) if they have no results."""
    if not any(replies(items)) and not open_calls(items) and not any(files_in(items, "")):
        return []
    progress.response = {"status": "completed", "output": items}
    return None


async def _times_said(mine: str, history: History) -> int:
    """Counts how many exchanges directly before the turn have its text."""
    times = 0
    for exchange in reversed(await history()):
        if exchange.text.strip() != mine:
            break
        times += 1
    return times

"""The backend ``threads`` (Assistants API), for servers that still have it: its threads are the gateway's threads.

Message and run are created by one POST, and both carry the turn's id as metadata, by which they are found again. A
run continues without its stream, so after an interrupted stream the run is polled.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.api_client import SILENCE_SECONDS, Setup, Wire, segment
from gateway.assistants.attachments import unlinked
from gateway.assistants.error_map import BadRequest, NotThere, TooLong
from gateway.assistants.history import pair
from gateway.assistants.json_fields import part, parts, text, usage
from gateway.assistants.reply_accumulator import Draft
from gateway.assistants.sse import Json
from gateway.assistants.threads.files import ThreadFiles
from gateway.assistants.threads.items import (
    Reading,
    ended,
    files_in,
    first_text,
    halted,
    message_text,
    pending_calls,
    why_not,
)
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.assistants.tool_calls import MAX_ROUNDS, TOO_MANY_ROUNDS, FunctionCall, perform
from gateway.assistants.transcription import hearing
from gateway.domain.errors import AssistantError, RateLimited, Refused, ThreadLost, Unavailable
from gateway.domain.models import Answered, Exchange, File, RunEvent, RunId, RunStarted, TextDelta, ThreadId, Turn
from gateway.ports.assistant import Attachments, History, no_attachments
from gateway.ports.check import Check
from gateway.tools import ToolBox

BETA = {"OpenAI-Beta": "assistants=v2"}
MESSAGES_PER_POST = 32
"""Messages that a thread is created with; each further one takes its own request."""
NEWEST = {"limit": 20, "order": "desc"}
"""Query to look up a turn's run or message: one page is enough, as a thread has one turn at a time."""
PAGE = 100
REMEMBERED = 100
"""Limit for imported history."""
Ask = tuple[str, Json]
"""A path and the body to POST."""

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
    reading: Reading = field(init=False)
    outputs: dict[str, str] = field(default_factory=dict)
    """Outputs of function calls, by call id."""

    def __post_init__(self) -> None:
        self.reading = Reading(self.draft)

    def plainer(self, ask: Ask, error: Refused) -> Ask:
        """Returns the request to send after a rejection: without files. Raises ``error`` if there were none."""
        if self.plain is None:
            raise error
        log.info("server rejected the request; repeating it without files", turn=self.turn.id, error=str(error))
        path, body = ask
        plain, self.plain = self.plain, None
        return path, {**body, "additional_messages": [plain]}


class Threads:
    """Runs turns by threads and runs of one server."""

    name = "threads"

    def __init__(self, wire: Wire, setup: Setup, toolbox: ToolBox, assistant: ServerAssistant) -> None:
        self.description = f"{self.name} at {wire.host}, {assistant.name}"
        self._wire = wire
        self._setup = setup
        self._toolbox = toolbox
        self._assistant = assistant
        self._files = ThreadFiles(wire, assistant)

    # ------------------------------------------------------------ threads

    async def open_thread(self, history: Sequence[Exchange]) -> ThreadId:
        messages = [message for exchange in history for message in _messages(exchange)]
        first, more = messages[:MESSAGES_PER_POST], messages[MESSAGES_PER_POST:]
        try:
            created = await self._wire.post("/threads", {"messages": first} if first else {})
        except NotThere as exc:
            raise self._assistant.gone() from exc
        thread = ThreadId(text(created.get("id")))
        try:
            for message in more:
                await self._wire.post(f"{_path(thread)}/messages", message)
        except AssistantError:
            with suppress(AssistantError):
                await self.forget(thread)
            raise
        return thread

    async def recall(self, thread: ThreadId) -> Sequence[Exchange] | None:
        said: list[tuple[str, str]] = []
        try:
            async with aclosing(self._listed(thread, "messages", {"limit": PAGE, "order": "desc"})) as messages:
                async for message in messages:
                    role = text(message.get("role"))
                    said.append((role, first_text(message) if role == "user" else message_text(message)))
                    if sum(role == "user" for role, _ in said) == REMEMBERED:
                        break
        except (ThreadLost, BadRequest):  # BadRequest: not a valid thread id
            return None
        return pair(reversed(said))

    async def forget(self, thread: ThreadId) -> None:
        with suppress(NotThere, BadRequest):
            await self._wire.delete(_path(thread))

    # ------------------------------------------------------------ runs

    async def run(
        self,
        turn: Turn,
        thread: ThreadId,
        history: History,  # noqa: ARG002  # required by the port
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = Progress(turn, thread, attachments)
        async with aclosing(self._drive(state, await self._creation(state))) as events:
            async for event in events:
                yield event

    async def resume(
        self,
        turn: Turn,
        thread: ThreadId,
        run_id: RunId | None,
        history: History,  # noqa: ARG002  # required by the port
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = Progress(turn, thread, attachments)
        if run_id is None and (found := await self._find(state, "runs")):
            run_id = RunId(text(found.get("id")))
            yield RunStarted(run_id)
        run = await self._halted(thread, run_id) if run_id else None
        async with aclosing(self._drive(state, await self._next(state, run))) as events:
            async for event in events:
                yield event

    async def fetch(self, file: File) -> bytes:
        return await self._files.fetch(file)

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:
        with suppress(NotThere, BadRequest, ThreadLost):  # already ended, or gone
            if run_id is None:
                active = (run for run in await self._page(thread, "runs") if not ended(run))
                run_id = next((RunId(text(run.get("id"))) for run in active), None)
            if run_id is not None:
                await self._wire.post(f"{_run_path(thread, run_id)}/cancel", {})

    async def _drive(self, progress: Progress, ask: Ask | None) -> AsyncGenerator[RunEvent, None]:
        """POSTs (None: starts with the run in ``state``) and runs tools until the run has ended."""
        reading = progress.reading
        for _ in range(MAX_ROUNDS):
            if ask is not None:
                try:
                    async with aclosing(self._post(progress, *ask)) as events:
                        async for event in events:
                            yield event
                except (BadRequest, TooLong) as exc:
                    ask = progress.plainer(ask, exc)
                    continue
                progress.plain = None
            if ended(reading.run):
                for event in await self._conclude(progress):
                    yield event
                return
            calls = pending_calls(reading.run)
            async with aclosing(perform(self._toolbox, calls, progress.outputs)) as told:
                async for call in told:
                    yield call
            ask = self._submission(progress, calls)
        raise Refused("too many rounds of tools", code="too_many_rounds", sentence=TOO_MANY_ROUNDS)

    async def _post(self, progress: Progress, path: str, body: Json) -> AsyncGenerator[RunEvent, None]:
        """POSTs and follows the run until it stops. Raises AssistantUnavailable if the run did not start."""
        reading, refusal = progress.reading, None
        waited_for = pending_calls(reading.run)
        reading.go_on()
        try:
            async with self._wire.stream(path, body, silence=SILENCE_SECONDS) as events:
                async for name, data in events:
                    for event in reading.take(name, data):
                        yield event
                    del data  # not kept while the next is waited for
                    if reading.halted:
                        break
        except NotThere as exc:
            raise await self._rejection(exc, progress.thread, run_id=reading.id) from exc
        except (Unavailable, BadRequest) as exc:
            if not reading.id:
                raise
            log.info("run stream interrupted; polling the run", run=reading.id, error=str(exc))
            refusal = exc if isinstance(exc, BadRequest) else None  # maybe because the outputs were already submitted
        if not reading.halted:
            reading.miss()
            reading.see(await self._halted(progress.thread, reading.id))
        if refusal is not None and pending_calls(reading.run) == waited_for:
            raise refusal

    async def _conclude(self, progress: Progress) -> list[RunEvent]:
        """Returns the last events of a run that has ended. Raises AssistantError if the run failed."""
        reading, draft = progress.reading, progress.draft
        if error := why_not(reading.run):
            raise error
        told: list[RunEvent] = []
        if not (reading.whole and draft.text):
            async for step in self._steps(progress):
                told += reading.used(step)
            query = {"run_id": reading.id, "limit": PAGE, "order": "asc"}
            messages = [one async for one in self._listed(progress.thread, "messages", query)]
            replies = [one for one in messages if _says(one, reading.id)]
            draft.rewrite(map(message_text, replies))
            for one in replies:
                reading.files |= files_in(one)
        if rest := draft.rest():
            told.append(TextDelta(rest))
        files = await self._files.described(reading.files)
        run = reading.run
        return [*told, Answered(unlinked(draft.text), usage(run.get("usage")), files, text(run.get("model")))]

    async def _steps(self, progress: Progress) -> AsyncGenerator[Json, None]:
        """Yields the run's steps; ends early on an error, as they are only for display and not part of the answer."""
        with suppress(AssistantError):
            query = {"limit": PAGE, "order": "asc"}
            async for step in self._listed(progress.thread, f"runs/{segment(progress.reading.id)}/steps", query):
                yield step

    async def _halted(self, thread: ThreadId, run_id: str) -> Json:
        """Polls a run until it stops. Raises ThreadMissing if the server does not have it."""
        if not run_id:
            raise Unavailable("the stream ended before the run started")
        try:
            return await self._wire.until(_run_path(thread, run_id), halted, every=self._setup.poll_seconds)
        except NotThere as exc:
            raise await self._loss(exc) from exc

    async def _creation(self, progress: Progress, *, with_message: bool = True) -> Ask:
        metadata = {"turn_id": progress.turn.id}
        body = {**await self._assistant.fields(), "metadata": metadata, "stream": self._setup.streamed}
        if with_message:
            attachments = hearing(self._wire, self._setup, progress.attachments)
            message, progress.plain = await self._files.message(progress.turn, attachments)
            body["additional_messages"] = [message]
        return f"{_path(progress.thread)}/runs", body

    def _submission(self, progress: Progress, calls: Sequence[FunctionCall]) -> Ask:
        outputs = [{"tool_call_id": call.id, "output": progress.outputs[call.id]} for call in calls]
        path = f"{_run_path(progress.thread, progress.reading.id)}/submit_tool_outputs"
        return path, {"tool_outputs": outputs, "stream": self._setup.streamed}

    # ------------------------------------------------------------ results of an earlier attempt

    async def _next(self, progress: Progress, run: Json | None) -> Ask | None:
        """Returns the request to resume with; None if the run that was found is to be continued."""
        if run is None:
            posted = await self._find(progress, "messages")
            return await self._creation(progress, with_message=posted is None)
        if ended(run) and isinstance(why_not(run), RateLimited | Unavailable):
            return await self._creation(progress, with_message=False)
        progress.reading.miss()
        progress.reading.see(run)
        return None

    async def _find(self, progress: Progress, kind: str) -> Json | None:
        """Returns the turn's newest run or message; ``kind`` is ``runs`` or ``messages``."""
        page = await self._page(progress.thread, kind)
        matching = (one for one in page if part(one.get("metadata")).get("turn_id") == progress.turn.id)
        return next(matching, None)

    async def _page(self, thread: ThreadId, kind: str) -> list[Json]:
        try:
            return parts((await self._wire.get(f"{_path(thread)}/{kind}", NEWEST)).get("data"))
        except NotThere as exc:
            raise await self._loss(exc) from exc

    async def _listed(self, thread: ThreadId, what: str, query: Json) -> AsyncGenerator[Json, None]:
        """Yields the objects of a list of the thread. Raises ThreadMissing."""
        try:
            async with aclosing(self._wire.listed(f"{_path(thread)}/{what}", query)) as found:
                async for one in found:
                    yield one
        except NotThere as exc:
            raise await self._loss(exc) from exc

    # ------------------------------------------------------------ the server

    async def close(self) -> None:
        await self._wire.close()

    async def check(self) -> Sequence[Check]:
        try:
            await self._assistant.find()
        except AssistantError as exc:
            return (Check("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (Check("assistant", ok=True, detail=self.description),)

    async def _rejection(self, error: NotThere, thread: ThreadId, *, run_id: str) -> AssistantError:
        """Returns the error for a POST answered with 404: to a run, or (no ``run_id``) to create one."""
        try:
            await self._wire.get(_path(thread))
        except NotThere as exc:
            return await self._loss(exc)
        if run_id:
            return RateLimited(f"the run is looked up again: {error}", retry_after=0.0)
        return self._assistant.rejected(error)

    async def _loss(self, error: NotThere) -> AssistantError:
        """Returns the error for a missing thread: the thread itself, or the whole API, is gone."""
        if re.search("no thread found", str(error), re.IGNORECASE) or await self._assistant.served():
            return ThreadLost(str(error))
        return self._assistant.gone()


def _path(thread: ThreadId) -> str:
    return f"/threads/{segment(thread)}"


def _run_path(thread: ThreadId, run_id: str) -> str:
    return f"{_path(thread)}/runs/{segment(run_id)}"


def _messages(exchange: Exchange) -> list[Json]:
    said = (("user", exchange.text), ("assistant", exchange.reply))
    return [{"role": role, "content": content} for role, content in said if content]


def _says(message: Json, run_id: str) -> bool:
    return message.get("role") == "assistant" and message.get("run_id") == run_id

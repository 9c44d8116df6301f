"""Runs and their steps: platform.openai.com/docs/api-reference/runs. A run is a turn of its thread's conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from adapters.openai_api.assistants.bodies import (
    MetadataChange,
    RunRequest,
    ThreadAndRunRequest,
    ThreadRequest,
    ToolOutputsRequest,
)
from adapters.openai_api.assistants.context import EMPTY_THREAD, MAX_BODY_BYTES, THREAD, AssistantsContext
from adapters.openai_api.assistants.new_run import NewRun, new_message
from adapters.openai_api.assistants.run_stream import RunStream
from adapters.openai_api.assistants.run_view import run_view, status_of, steps_of
from adapters.openai_api.assistants.thread_routes import new_thread, thread_view
from adapters.openai_api.callers import Caller
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.ids import STEP, derived, new_id, run_of, turn_of_run
from adapters.openai_api.paging import paged, read_page
from adapters.openai_api.repetition import Post, is_repeated, read_post
from adapters.openai_api.request_fields import read_request
from adapters.openai_api.settings import NAME
from adapters.openai_api.sse import resolved_turn
from gateway.domain.errors import Conflict, Overloaded
from gateway.domain.models import Message, Turn, TurnId, TurnState
from gateway.ports.api_objects import ApiObject, NewestTurn, ThreadState
from gateway.ports.inbox import AcceptResult
from gateway.web.api.event_stream import STREAM_HEADERS, TurnUpdates, event_stream
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response
from gateway.web.api.waiting import Waiter, only

HOLD_SECONDS = 0.5
"""How long the answer to a poll of a running turn is held, so that it tells the end at once."""
POLL_AFTER_MS = 100
"""What ``openai-poll-after-ms`` says at least: between two polls that are held nobody tells a client of the end."""
BEGINNING = ("thread.run.created", "thread.run.queued", "thread.run.in_progress")
GOING_ON = ("thread.run.queued", "thread.run.in_progress")


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that a request asked for."""

    turn: Turn
    thread: ApiObject | None = None
    """The thread that was made with it."""
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class RunRoutes:
    context: AssistantsContext

    def routes(self) -> Sequence[Route]:
        runs = "/v1/threads/<thread_id>/runs"
        one = f"{runs}/<run_id>"
        return (
            Route("POST", "/v1/threads/runs", self.create_with_thread),
            Route("POST", runs, self.create),
            Route("GET", runs, self.list_all),
            Route("GET", one, self.retrieve),
            Route("POST", one, self.modify),
            Route("POST", f"{one}/cancel", self.cancel),
            Route("POST", f"{one}/submit_tool_outputs", self.submit_outputs),
            Route("GET", f"{one}/steps", self.list_steps),
            Route("GET", f"{one}/steps/<step_id>", self.retrieve_step),
        )

    # ------------------------------------------------------------ new runs

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller, thread = self.context.api.callers.identify(request), request.path_values["thread_id"]
        body = await request.read_body(MAX_BODY_BYTES)
        asked, post = read_request(RunRequest, body), read_post(caller, request, body)
        added = await self.context.read_messages(caller, asked.additional_messages or (), "additional_messages")
        await self.context.api.callers.count_message(caller)
        begin = partial(self._begin, caller, thread, NewRun(asked, added, post.name))
        return await self._begun(request, caller, post, begin, streams=bool(asked.stream))

    async def create_with_thread(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.identify(request)
        body = await request.read_body(MAX_BODY_BYTES)
        asked, post = read_request(ThreadAndRunRequest, body), read_post(caller, request, body)
        messages = (asked.thread and asked.thread.messages) or ()
        added = await self.context.read_messages(caller, messages, "thread.messages")
        new = NewRun(asked.as_run(), added, post.name)
        await self.context.api.callers.count_message(caller)
        fields = asked.thread
        if asked.tool_resources is not None and (fields is None or fields.tool_resources is None):
            given = (fields or ThreadRequest()).model_dump(exclude_unset=True)
            fields = ThreadRequest.model_validate({**given, "tool_resources": asked.tool_resources.model_dump()})
        begin = partial(self._begin_with_thread, caller, fields, new)
        return await self._begun(request, caller, post, begin, streams=bool(asked.stream))

    async def _begin_with_thread(
        self, caller: Caller, fields: ThreadRequest | None, new: NewRun, turn: TurnId
    ) -> Begun:
        thread = new_thread(caller, fields or ThreadRequest(), new_id("thread"))
        thread = await self.context.checked(caller, thread, new.additional)
        if thread.body["metadata"] or thread.body["tool_resources"]:
            (thread,) = await asyncio.to_thread(self.context.objects.add, [thread])
        begun = await self._accept(caller, thread.id, new, ThreadState(thread, None), turn)
        return replace(begun, thread=thread)

    async def _begin(self, caller: Caller, thread: str, new: NewRun, turn: TurnId) -> Begun:
        state = await self.context.thread_state(caller, thread)
        if state.newest is not None and not state.newest.state.is_resolved:
            raise _active(thread, state.newest)
        if any(body["attachments"] for body in new.additional):
            await self.context.attach(caller, thread, new.additional)
            state = await self.context.thread_state(caller, thread)
        if state.newest is not None and not state.pending and not new.additional:  # its message may be asked again
            new = replace(new, before=await self.context.api.inbox.get_turn(state.newest.id))
        return await self._accept(caller, thread, new, state, turn)

    async def _accept(self, caller: Caller, thread: str, new: NewRun, state: ThreadState, turn: TurnId) -> Begun:
        """Records the turn. Raises NoSuchObject, InvalidRequest, Overloaded, Blocked."""
        known = await self.context.directory.find(caller, new.asked.assistant_id)
        message = new_message(caller, thread, new, known, self.context.directory, state)
        try:
            accepted = await self._record(message, turn)
        except Conflict as exc:
            if exc.code != "conversation_busy":
                raise
            raise _active(thread, (await self.context.thread_state(caller, thread)).newest) from None
        return Begun(accepted.turn, is_local=accepted.claimed_here)

    async def _record(self, message: Message, turn: TurnId) -> AcceptResult:
        """Raises as ``AsyncInbox.accept``."""
        self.context.running.add(turn, message.key)
        is_here = False
        try:
            accepted = await self.context.api.inbox.accept(message, turn)
            is_here = accepted.is_new and accepted.claimed_here
            return accepted
        finally:
            if not is_here:
                self.context.running.forget(turn)

    async def _begun(
        self, request: HttpRequest, caller: Caller, post: Post, begin: Callable[[TurnId], Any], *, streams: bool
    ) -> HttpResponse:
        """Begins a turn, or finds the one that an earlier attempt at the request began, and answers with it."""
        turn_id = self.context.api.inbox.new_turn_id()
        if not streams:
            begun = await self._begun_once(request, caller, post, begin, turn_id)
            return json_response(run_view(begun.turn), headers=self._poll_headers())
        with ExitStack() as leaving:
            waiter = self._waiter(turn_id, caller, leaving)
            begun = await self._begun_once(request, caller, post, begin, turn_id)
            if begun.turn.id != turn_id:
                waiter.switch_to(begun.turn.id)
                begun = replace(begun, turn=await self.context.api.inbox.get_turn(begun.turn.id))
            return self._stream(request, begun, waiter, leaving, BEGINNING)

    async def _begun_once(
        self, request: HttpRequest, caller: Caller, post: Post, begin: Callable[[TurnId], Any], turn_id: TurnId
    ) -> Begun:
        async with self.context.api.attempts.turn_of(post):
            begun: Begun = await self._begun_before(request, caller, post) or await begin(turn_id)
            return begun

    async def _begun_before(self, request: HttpRequest, caller: Caller, post: Post) -> Begun | None:
        """Raises Conflict if an earlier attempt at the request had another body."""
        if not post.may_be_repeated:
            return None
        turn = await self.context.api.inbox.find_newest_turn(NAME, post.first, post.last)
        if turn is None:
            return None
        post.check_same(turn.message.message_id)
        if "thread_id" in request.path_values:
            return Begun(turn)
        name = turn.message.key.channel
        known = (await self.context.thread_state(caller, name)).thread
        return Begun(turn, known or ApiObject(name, THREAD, caller.owner, EMPTY_THREAD))

    # ------------------------------------------------------------ runs that there are

    async def list_all(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.context.api.callers.reader(request), request.path_values["thread_id"]
        page, state = read_page(request), await self.context.thread_state(caller, name)
        is_first = page.newest_first and not page.after and not page.before
        turns: Sequence[Turn] = ()
        if state.conversation is not None:
            limit = page.limit + 1 if is_first else None
            turns = await self.context.api.inbox.transcript(state.conversation, limit=limit)
        return json_response(paged([run_view(turn) for turn in turns], page))

    async def retrieve(self, request: HttpRequest) -> HttpResponse:
        caller, thread = self.context.api.callers.reader(request), request.path_values["thread_id"]
        turn = await self._latest(caller, thread, request.path_values["run_id"])
        return json_response(run_view(turn), headers=self._poll_headers())

    async def _latest(self, caller: Caller, thread: str, run: str) -> Turn:
        """Returns the turn of a run; while it goes on, a moment later or when it has ended. Raises NoSuchObject."""
        turn_id = turn_of_run(run)
        waiter = self._holder(turn_id, caller) if turn_id else None  # before the turn is read: no end is missed
        if turn_id is None or waiter is None:
            return await self.context.turn(caller, thread, run)
        with waiter:
            if self.context.running.runs(turn_id, caller.thread_key(thread)):
                return await self._ended(turn_id, waiter) or await self.context.turn(caller, thread, run)
            turn = await self.context.turn(caller, thread, run)
            goes_on = status_of(turn) in ("queued", "in_progress")
            return (await self._ended(turn_id, waiter) if goes_on else None) or turn

    async def modify(self, request: HttpRequest) -> HttpResponse:
        turn = await self._turn(request)
        asked = read_request(MetadataChange, await request.read_body(MAX_BODY_BYTES))
        metadata = json.dumps(asked.metadata or {})
        self.context.running.forget(turn.id)
        await asyncio.to_thread(self.context.objects.set_address, turn.id, "metadata", metadata)
        return json_response(run_view(await self.context.api.inbox.get_turn(turn.id)))

    async def cancel(self, request: HttpRequest) -> HttpResponse:
        turn = await self._turn(request)
        if turn.state.is_resolved and not (is_repeated(request) and turn.state is TurnState.CANCELLED):
            raise _not_cancellable(turn)
        try:
            turn = await self.context.api.inbox.cancel_turn(turn.id)
        except Conflict:  # it has ended just now
            raise _not_cancellable(await self.context.api.inbox.get_turn(turn.id)) from None
        self.context.running.forget(turn.id)
        self.context.api.waiters.resolve(turn)  # the worker would deliver a queued one only after those before it
        return json_response(run_view(turn))

    async def submit_outputs(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        turn = await self.context.turn(caller, request.path_values["thread_id"], request.path_values["run_id"])
        asked = read_request(ToolOutputsRequest, await request.read_body(MAX_BODY_BYTES))
        outputs = {each.tool_call_id: each.output for each in asked.tool_outputs}
        if not _was_submitted(turn, outputs):
            _check_outputs(turn, outputs)
        with ExitStack() as leaving:
            waiter = self._waiter(turn.id, caller, leaving) if asked.stream else None
            turn = await self.context.api.inbox.provide_outputs(turn.id, outputs)
            if waiter is None:
                return json_response(run_view(turn), headers=self._poll_headers())
            return self._stream(request, Begun(turn), waiter, leaving, GOING_ON)

    async def list_steps(self, request: HttpRequest) -> HttpResponse:
        return json_response(paged(steps_of(await self._turn(request)), read_page(request)))

    async def retrieve_step(self, request: HttpRequest) -> HttpResponse:
        turn, name = await self._turn(request), request.path_values["step_id"]
        found = [each for each in steps_of(turn) if each["id"] == name] if derived(STEP, name) else []
        if not found:
            raise NoSuchObject(f"No run step found with id '{name[:128]}'.")
        return json_response(found[0])

    async def _turn(self, request: HttpRequest) -> Turn:
        """Raises NoSuchObject, Unauthenticated, Overloaded."""
        caller = self.context.api.callers.reader(request)
        return await self.context.turn(caller, request.path_values["thread_id"], request.path_values["run_id"])

    # ------------------------------------------------------------ waiting

    def _waiter(self, turn: TurnId, caller: Caller, leaving: ExitStack) -> Waiter:
        """Raises Overloaded."""
        waiter = self.context.api.waiters.register(turn, caller.share, wants_previews=True)
        leaving.callback(waiter.close)
        return waiter

    def _holder(self, turn: TurnId, caller: Caller) -> Waiter | None:
        """Returns a waiter for the end of a turn; None when there is no place for one more of this caller."""
        try:
            return self.context.api.waiters.register(turn, caller.share, wants_previews=False)
        except Overloaded:
            return None

    async def _ended(self, turn_id: TurnId, waiter: Waiter) -> Turn | None:
        """Waits a moment; returns the turn if it ended in that time."""
        load = partial(self.context.api.inbox.get_turn, turn_id)
        return await resolved_turn(
            waiter.updates(load, is_local=True, max_silence=HOLD_SECONDS, idle_interval=HOLD_SECONDS)
        )

    def _poll_headers(self) -> dict[str, str]:
        """Tells clients to ask less often the more of them there are."""
        pause = self.context.api.waiters.poll_pause(0.0)
        return {"openai-poll-after-ms": str(max(POLL_AFTER_MS, int(pause * 1000)))}

    def _stream(
        self, request: HttpRequest, begun: Begun, waiter: Waiter, leaving: ExitStack, first: Sequence[str]
    ) -> HttpResponse:
        thread = thread_view(begun.thread.id, begun.thread, begun.turn.received_at) if begun.thread else None
        updates, writer = self._updates(request, begun, waiter), RunStream(begun.turn, first, thread)
        events = event_stream(begun.turn, updates, writer, ping_seconds=self.context.api.limits.ping_seconds)
        return HttpResponse(headers=STREAM_HEADERS, stream=events, on_close=leaving.pop_all().close)

    def _updates(self, request: HttpRequest, begun: Begun, waiter: Waiter) -> TurnUpdates:
        turn, api = begun.turn, self.context.api
        if turn.state.is_resolved:
            return only(turn)
        waiter.close_when_disconnected(request)
        load = partial(api.inbox.get_turn, turn.id)
        return waiter.updates(
            load, is_local=begun.is_local, max_silence=api.limits.wait_seconds, idle_interval=api.limits.ping_seconds
        )


def _was_submitted(turn: Turn, outputs: dict[str, str]) -> bool:
    """Returns whether exactly these outputs were brought before."""
    return any({call.id: call.output for call in each.calls} == outputs for each in turn.rounds)


def _check_outputs(turn: Turn, outputs: dict[str, str]) -> None:
    """Raises InvalidRequest unless the run waits for exactly these outputs."""
    status = status_of(turn)
    if status != "requires_action":
        raise InvalidRequest(f'Runs in status "{status}" do not accept tool outputs.')
    expected = {call.id for call in turn.rounds[-1].calls if call.output is None}
    if expected != outputs.keys():
        missing = ", ".join(sorted(expected - outputs.keys())) or "none"
        unknown = ", ".join(sorted(outputs.keys() - expected))[:200] or "none"
        explanation = f"Expected tool outputs for all calls of the run. Missing: {missing}; unknown: {unknown}."
        raise InvalidRequest(explanation, param="tool_outputs")


def _not_cancellable(turn: Turn) -> InvalidRequest:
    return InvalidRequest(f"Cannot cancel run with status '{status_of(turn)}'.")


def _active(thread: str, turn: NewestTurn | None) -> InvalidRequest:
    run = f" {run_of(turn.id)}" if turn and not turn.state.is_resolved else ""
    return InvalidRequest(f"Thread {thread} already has an active run{run}.")

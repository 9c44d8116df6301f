"""The routes of /chat."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from adapters.http.chat_request import CALLBACK_FIELD, ChatRequestParser, ParsedChatRequest, message_id_of
from adapters.http.message_reader import MessageReader
from adapters.http.operations import GivenDecision, Rating
from adapters.http.settings import NAME, HttpSettings
from adapters.http.uploads import are_unused, delete_files
from gateway.domain.approvals import REFUSALS, Decider, Verdict, VerdictResult
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Blocked, Conflict, GatewayError, ThreadNotFound, TurnNotFound
from gateway.domain.files import File, content_type_of
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId, caller_share
from gateway.domain.platform_events import Feedback
from gateway.domain.shares import Share
from gateway.lean_imports import importing_parts_of
from gateway.ports.inbox import AcceptResult, AsyncInbox
from gateway.ports.platform import ParsedUpdate
from gateway.ports.uploads import Uploads
from gateway.settings.values import split_list
from gateway.web.api import turn_events, views
from gateway.web.api.api_keys import caller_name
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.client_address import client_ip, network_of
from gateway.web.api.cors import Cors
from gateway.web.api.event_stream import EVENT_STREAM, STREAM_HEADERS, TurnUpdates, event_stream
from gateway.web.api.json_body import read_model
from gateway.web.api.openapi import Operation
from gateway.web.api.routes import Api, HttpRequest, HttpResponse, Route, json_response
from gateway.web.api.waiting import Waiter, WaiterRegistry, only

with importing_parts_of("werkzeug"):  # the whole is for pages
    from werkzeug.datastructures import MIMEAccept
    from werkzeug.http import parse_accept_header

PREFIX = "/chat"
MAX_SMALL_BODY_BYTES = 1024
"""Of a rating or a decision."""
COMMAND_TEXTS = {MessageKind.HAND_OVER: "/human", MessageKind.RESUME: "/resume"}
UNNAMED_AUTHOR = "caller"
"""Who rates a reply to a message that named no `user`."""
TURN_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")


def api(handlers: ChatRoutes, operations: Sequence[Operation]) -> Api:
    routes = [Route(each.method, each.path, getattr(handlers, each.operation_id)) for each in operations]
    cors = Cors(
        origins=split_list(handlers.settings.cors_origins),
        methods=("DELETE", "GET", "POST"),
        allowed_headers=("Authorization", "Content-Type", "Idempotency-Key", "Prefer"),
        exposed_headers=("Location", "Preference-Applied", "Retry-After"),
    )
    return Api(PREFIX, routes, cors)


@dataclass(frozen=True, slots=True)
class ChatRoutes:
    """The handlers, one for each operation. They run on the worker's loop."""

    settings: HttpSettings
    parser: ChatRequestParser
    reader: MessageReader
    read_limit: CallLimit
    waiters: WaiterRegistry
    inbox: AsyncInbox
    uploads: Uploads
    ping_seconds: float
    hands_over: bool = False
    """Whether callers may ask for a person."""

    async def chat(self, request: HttpRequest) -> HttpResponse:
        owner, network = self.parser.owner(request.headers), self._network(request)  # before the body is read
        asked = await self.reader.read(request, owner, network)
        asked = replace(asked, message=replace(asked.message, caller=caller_name(owner, network)))
        is_preferred = "respond-async" in _listed(request.headers.get("prefer", ""))
        if is_preferred or CALLBACK_FIELD in asked.message.address:
            return await self._later(asked, is_preferred=is_preferred)
        if asked.stream or _prefers_stream(request.headers.get("accept", "")):
            return await self._stream(request, asked)
        turn_id = self.inbox.new_turn_id()
        with self.waiters.register(turn_id, asked.message.share, wants_previews=False) as waiter:
            turn, updates = await self._wait(request, asked, turn_id, waiter)
            del asked  # its message is not kept beside the turn's while callers wait
            return json_response(*await turn_events.wait_for_result(turn, updates, self.inbox.approvals_of))

    async def list_assistants(self, request: HttpRequest) -> HttpResponse:
        owner = self._reader(request)
        key = ConversationKey(NAME, workspace=owner, channel="")
        return json_response(views.assistants_body(self.inbox.offered_assistants(key, self._allowed(owner))))

    async def show_file(self, request: HttpRequest) -> HttpResponse:
        """Sends a file of a reply: a download, whatever it is, so that nothing in it runs on a page of this site."""
        turn, file = await self._find_file(request.path_values["file_id"], self._reader(request))
        content = self._content(turn, file)
        first = await anext(content, b"")  # whatever is wrong shows now
        name = quote(file.name, safe="")
        headers = {
            "Content-Type": content_type_of(file.media_type),
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return HttpResponse(headers=headers, stream=_after(first, content))

    async def _content(self, turn: Turn, file: File) -> AsyncIterator[bytes]:
        async with self.inbox.read_file(turn, file) as content:
            async for piece in content.pieces():
                yield piece

    async def show_turn(self, request: HttpRequest) -> HttpResponse:
        owner = self._reader(request)
        turn = await self._find_turn(request.path_values["turn_id"], owner)
        if _prefers_stream(request.headers.get("accept", "")):
            return await self._watch(request, turn, caller_share(NAME, caller_name(owner, self._network(request))))
        return json_response(views.turn_body(turn, await self.inbox.approvals_of(turn.id) if turn.rounds else ()))

    async def cancel_turn(self, request: HttpRequest) -> HttpResponse:
        turn = await self.inbox.cancel_turn((await self._turn(request)).id)
        self.waiters.resolve(turn)  # the worker would deliver a queued one only after those before it
        return json_response(views.turn_body(turn))

    async def list_approvals(self, request: HttpRequest) -> HttpResponse:
        decider = self._decider(request, self._reader(request))
        asked = views.approvals_of(await self.inbox.open_approvals(decider))
        return json_response({"approvals": [each.model_dump(mode="json") for each in asked]})

    async def decide(self, request: HttpRequest) -> HttpResponse:
        decider = self._decider(request, self._reader(request))
        body = await request.read_body(MAX_SMALL_BODY_BYTES)
        given = read_model(GivenDecision, request.headers.get("content-type", ""), body)
        approval_id, approves = request.path_values["approval_id"], given.decision == "approve"
        result = await self.inbox.decide(Verdict(approval_id, given.digest, approves, decider))
        if result is not VerdictResult.DECIDED:
            raise _undecided(result)
        decided = await self.inbox.get_approval(approval_id)
        return json_response(views.approval_view(decided).model_dump(mode="json"))

    async def hand_over(self, request: HttpRequest) -> HttpResponse:
        if not self.hands_over:
            explanation = "No person answers here: HANDOVER_COMMAND is off."
            raise Conflict(explanation, code="handover_off")
        return await self._record_command(request, MessageKind.HAND_OVER)

    async def give_back(self, request: HttpRequest) -> HttpResponse:
        return await self._record_command(request, MessageKind.RESUME)

    async def _record_command(self, request: HttpRequest, kind: MessageKind) -> HttpResponse:
        """Records a command about a thread as a turn of it. Without an Idempotency-Key each one is a new turn."""
        conversation = await self._conversation(request)
        owner, network = conversation.key.workspace, self._network(request)
        await self.reader.check_limit(owner or network)
        message = Message(
            *(conversation.key, message_id_of(owner, request.headers), COMMAND_TEXTS[kind]),
            kind=kind,
            may_start_conversation=False,
            caller=caller_name(owner, network),
            context=self.parser.context(request.headers),
        )
        turn = (await self.inbox.accept(message)).turn
        return json_response(views.accepted_body(turn), 202, {"Location": f"{PREFIX}/turns/{turn.id}"})

    async def rate_turn(self, request: HttpRequest) -> HttpResponse:
        turn = await self._turn(request)
        body = await request.read_body(MAX_SMALL_BODY_BYTES)
        rating = read_model(Rating, request.headers.get("content-type", ""), body)
        author = turn.message.author or UNNAMED_AUTHOR
        await self.inbox.accept_all(ParsedUpdate(events=(Feedback(turn.id, author, rating.value),)))
        return HttpResponse(status=204)

    async def show_thread(self, request: HttpRequest) -> HttpResponse:
        conversation = await self._conversation(request)
        name = request.query_value("before")
        before = (await self._find_turn(name, conversation.key.workspace)).seq if name else None
        turns = await self.inbox.transcript(conversation, before=before, limit=views.TRANSCRIPT_TURNS)
        following = self.inbox.next_assistant(conversation, self._allowed(conversation.key.workspace))
        return json_response(views.thread_body(conversation, turns, following))

    async def forget_thread(self, request: HttpRequest) -> HttpResponse:
        for turn in await self.inbox.delete_conversation(await self._conversation(request)):
            self.waiters.resolve(turn)  # the worker does not deliver forgotten turns
        return HttpResponse(status=204)

    async def _later(self, asked: ParsedChatRequest, *, is_preferred: bool) -> HttpResponse:
        self.waiters.check_open()
        turn = (await self._accept(asked, self.inbox.new_turn_id())).turn
        headers = {"Location": f"{PREFIX}/turns/{turn.id}"}
        applied = {"Preference-Applied": "respond-async"} if is_preferred else {}
        return json_response(views.accepted_body(turn), 202, headers | applied)

    async def _stream(self, request: HttpRequest, asked: ParsedChatRequest) -> HttpResponse:
        turn_id = self.inbox.new_turn_id()
        waiter = self.waiters.register(turn_id, asked.message.share, wants_previews=True)
        try:
            return self._event_stream(*await self._wait(request, asked, turn_id, waiter), waiter)
        except BaseException:
            waiter.close()
            raise

    async def _watch(self, request: HttpRequest, turn: Turn, share: Share) -> HttpResponse:
        """Streams a turn to a caller that comes, or comes back, while it runs."""
        waiter = self.waiters.register(turn.id, share, wants_previews=True)
        try:
            turn = await self.inbox.get_turn(turn.id)  # it may have finished meanwhile
            return self._event_stream(turn, self._updates(request, turn, waiter, is_local=False), waiter)
        except BaseException:
            waiter.close()
            raise

    def _event_stream(self, turn: Turn, updates: TurnUpdates, waiter: Waiter) -> HttpResponse:
        updates = turn_events.with_questions(turn, updates, self.inbox.approvals_of)
        events = event_stream(turn, updates, turn_events.ChatWriter(turn), ping_seconds=self.ping_seconds)
        return HttpResponse(headers=STREAM_HEADERS, stream=events, on_close=waiter.close)

    async def _wait(
        self, request: HttpRequest, asked: ParsedChatRequest, turn_id: TurnId, waiter: Waiter
    ) -> tuple[Turn, TurnUpdates]:
        """Hands the message in. The caller is registered before, so that no event of the turn is missed."""
        accepted = await self._accept(replace(asked, message=replace(asked.message, has_waiting_caller=True)), turn_id)
        turn = accepted.turn
        if turn.id != turn_id:
            waiter.switch_to(turn.id)
            turn = await self.inbox.get_turn(turn.id)  # it may have finished meanwhile
        return turn, self._updates(request, turn, waiter, is_local=accepted.claimed_here)

    def _updates(self, request: HttpRequest, turn: Turn, waiter: Waiter, *, is_local: bool) -> TurnUpdates:
        if turn.state.is_resolved:
            return only(turn)
        waiter.close_when_disconnected(request)
        return waiter.updates(
            partial(self.inbox.get_turn, turn.id),
            is_local=is_local,
            max_silence=self.settings.chat_wait_seconds,
            idle_interval=self.ping_seconds if waiter.wants_previews else self.settings.chat_wait_seconds,
            with_approvals=True,
        )

    async def _accept(self, asked: ParsedChatRequest, turn: TurnId) -> AcceptResult:
        message = asked.message
        try:
            accepted = await self._record(message, turn)
        except BaseException:
            await delete_files(self.uploads, message.files)
            raise
        recorded = accepted.turn.message
        if are_unused(message.files, recorded.files):
            await delete_files(self.uploads, message.files)
        is_own = recorded.message_id == message.message_id  # else the message is a part of another one's turn
        if is_own and recorded.address.get("digest") != message.address.get("digest"):
            explanation = "This Idempotency-Key was used with another body. Use a new key for a new message."
            raise Conflict(explanation, code="idempotency_conflict")
        return accepted

    async def _record(self, message: Message, turn: TurnId) -> AcceptResult:
        try:
            return await self.inbox.accept(message, turn)
        except ThreadNotFound:
            if message.may_start_conversation:
                raise
            asked = next(filter(None, (message.assistant, *message.allowed_assistants)), "")
            located = await self._resolve(message.key, asked)
            return await self.inbox.accept(replace(message, key=located.key), turn)

    async def _turn(self, request: HttpRequest) -> Turn:
        """Returns the caller's own turn. Raises Unauthenticated, Overloaded, TurnNotFound."""
        return await self._find_turn(request.path_values["turn_id"], self._reader(request))

    async def _find_turn(self, turn_id: str, owner: str) -> Turn:
        """Returns a turn of this owner. Raises TurnNotFound (also for turns of other callers)."""
        if TURN_NAME.fullmatch(turn_id):
            turn = await self.inbox.get_turn(TurnId(turn_id))
            if (turn.message.key.platform, turn.message.key.workspace) == (NAME, owner):
                return turn
        raise TurnNotFound("There is no such turn.")

    async def _find_file(self, file_id: str, owner: str) -> tuple[Turn, File]:
        """Returns a file of a reply, with its turn. Raises TurnNotFound."""
        turn_id, _, number = file_id.rpartition(".")
        with suppress(TurnNotFound):
            turn = await self._find_turn(turn_id, owner)
            for place, file in enumerate(turn.reply_files):
                if str(place) == number:
                    return turn, file
        raise TurnNotFound("There is no such file.")

    async def _conversation(self, request: HttpRequest) -> Conversation:
        owner = self._reader(request)
        return await self._resolve(ConversationKey(NAME, workspace=owner, channel=request.path_values["thread_id"]))

    async def _resolve(self, key: ConversationKey, asked: str = "") -> Conversation:
        """``asked``: the name of the assistant that may have the thread, if it is not that of the route."""
        return await self.inbox.resolve_conversation(key, may_adopt=self.parser.adopts_threads, assistant=asked)

    # ------------------------------------------------------------ who calls

    def _reader(self, request: HttpRequest) -> str:
        """Returns the owner of a request that reads, cancels or deletes. Raises Unauthenticated, Overloaded."""
        owner = self.parser.owner(request.headers)
        self.read_limit.check(caller_name(owner, self._network(request)))
        return owner

    def _decider(self, request: HttpRequest, owner: str) -> Decider:
        key = self.parser.keys.name_of(owner)
        return Decider(NAME, caller=caller_name(owner, self._network(request)), key=key, name=key)

    def _allowed(self, owner: str) -> Sequence[str]:
        return tuple(self.parser.keys.assistants_of(owner))

    def _network(self, request: HttpRequest) -> str:
        forwarded_for = request.headers.get("x-forwarded-for", "")
        return network_of(client_ip(request.peer, forwarded_for, self.settings.trusted_proxies))


def _undecided(result: VerdictResult) -> GatewayError:
    """Returns the error for a decision that decided nothing."""
    match result:
        case VerdictResult.NOT_ALLOWED:
            return Blocked(REFUSALS[result], code="not_approver")
        case VerdictResult.TOO_LATE:
            return Conflict(REFUSALS[result], code="already_decided")
    return TurnNotFound("There is no such approval, or it is about other arguments.", code="approval_not_found")


async def _after(first: bytes, following: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in following:
        yield piece


def _listed(header: str) -> set[str]:
    return {part.partition(";")[0].strip().lower() for part in header.split(",")}


def _prefers_stream(accept: str) -> bool:
    """Returns whether events are asked for by name, and not less than JSON."""
    if EVENT_STREAM not in accept.lower():
        return False
    wanted = parse_accept_header(accept, MIMEAccept)
    return wanted[EVENT_STREAM] > wanted["application/json"]

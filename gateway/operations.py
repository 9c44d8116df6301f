"""What operators do: read a turn's timeline, retry turns, delete a person's data, export it. Sync."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.domain.audit import AuditEvent
from gateway.domain.errors import AssistantError, Conflict, TurnNotFound
from gateway.domain.files import File
from gateway.domain.models import Conversation, ThreadId, Turn, TurnId, TurnState
from gateway.domain.platform_events import Feedback
from gateway.ports.assistant import Assistant
from gateway.ports.reporting import ReportingStore, TurnFilter
from gateway.ports.store import Store
from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdates

PAGE = 500
MAX_ROUNDS = 5
"""How often the deletion is repeated for what the person writes meanwhile."""
MAX_PARALLEL_DELETIONS = 8
"""How many threads are deleted at the backend at the same time."""
WRITTEN_DURING_DELETION = "new messages arrived while it was being deleted"
OUTCOME_LABELS = {TurnState.FAILED: "failed", TurnState.CANCELLED: "cancelled"}
CONTROL_ESCAPES = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON leaves as they are, but a terminal may obey. JSON escapes all others itself."""

T = TypeVar("T")


class AdminStore(Store, ReportingStore, Protocol):
    """The whole interface of the database."""

    @property
    def unparsed_updates(self) -> UnparsedUpdates: ...


class CoroutineRunner(Protocol):
    """Runs a coroutine to completion, on a loop in the calling thread."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


# ---------------------------------------------------------------- timeline


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    at: float
    what: str
    detail: str = ""
    after: float = 0.0
    """Seconds since the previous entry."""


def timeline(turn: Turn) -> Sequence[TimelineEntry]:
    """Returns what happened to a turn, oldest first."""
    entries = sorted(_timeline_entries(turn), key=lambda entry: entry.at)
    before = (entries[0], *entries)
    return [TimelineEntry(each.at, each.what, each.detail, each.at - last.at) for each, last in zip(entries, before)]  # noqa: B905  # ``before`` is longer by one


def _timeline_entries(turn: Turn) -> Iterator[TimelineEntry]:
    logged = {entry.event for entry in turn.audit_log}
    if AuditEvent.RECEIVED not in logged:
        yield TimelineEntry(turn.received_at, "received")
    if turn.started_at is not None and AuditEvent.CLAIMED not in logged:
        yield TimelineEntry(turn.started_at, "started")
    for entry in turn.audit_log:
        yield TimelineEntry(entry.at, entry.event.value, entry.detail)
    if turn.answered_at is not None:
        yield TimelineEntry(
            turn.answered_at, OUTCOME_LABELS.get(turn.state, "answered"), turn.failure.code if turn.failure else ""
        )
    if turn.delivered_at is not None:
        yield TimelineEntry(
            turn.delivered_at, "delivered as" if turn.posted_messages else "delivered", ", ".join(turn.posted_messages)
        )


def iso(at: float) -> str:
    """Returns a time as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---------------------------------------------------------------- as JSON


def as_json(value: object, indent: int | None = None) -> str:
    """Returns JSON that is safe to print to a terminal."""
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(CONTROL_ESCAPES)


def turn_view(turn: Turn) -> dict[str, Any]:
    """Returns a turn as operators see it: with its audit log and the detail of its failure."""
    failure = turn.failure
    return person_view(turn) | {
        "platform": turn.message.key.platform,
        "channel": turn.message.key.channel,
        "user": turn.message.author,
        "attempts": turn.attempts,
        "run_id": turn.run_id,
        "model": turn.model,
        "cost": turn.cost,
        "cost_is_estimate": turn.cost_is_estimate,
        "parts": list(turn.posted_messages),
        "error": failure
        and {"code": failure.code, "message": failure.user_message, "detail": logs.mask(failure.detail)},
        "waits_for": parking_text(turn) or None,
        "trail": [{"at": iso(entry.at), "what": entry.event.value, "detail": entry.detail} for entry in turn.audit_log],
        "erased_at": _iso(turn.erased_at),
    }


def parking_text(turn: Turn) -> str:
    """Returns what a turn waits for in the table, and until when at the latest; empty when it does not."""
    if not turn.is_parked or turn.parking is None:
        return ""
    parking = turn.parking
    return f"{parking.reason}, since {iso(parking.since)}, until {iso(parking.expires_at)} at the latest"


def person_view(turn: Turn) -> dict[str, Any]:
    """Returns a turn as its author may see it."""
    failure = turn.failure
    return {
        "turn_id": turn.id,
        "conversation": turn.conversation_id,
        "seq": turn.seq,
        "kind": turn.message.kind.value,
        "assistant": turn.assistant,
        "state": turn.state.value,
        "message": turn.message.text,
        "files": [_file(file) for file in turn.message.files],
        "reply": turn.reply,
        "reply_files": [_file(file) for file in turn.reply_files],
        "error": failure and {"code": failure.code, "message": failure.user_message},
        "tokens": {"in": turn.usage.tokens_in, "out": turn.usage.tokens_out},
        "received_at": iso(turn.received_at),
        "started_at": _iso(turn.started_at),
        "answered_at": _iso(turn.answered_at),
        "delivered_at": _iso(turn.delivered_at),
    }


def _file(file: File) -> dict[str, Any]:
    return {"name": file.name, "media_type": file.media_type, "size": file.size}


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)


# ---------------------------------------------------------------- retrying


def retry_turn(store: Store, turn: TurnId) -> TurnId:
    """Retries a turn; returns the id of the new turn. Raises TurnNotFound, Conflict, StoreUnavailable."""
    return store.retry_turn(turn, TurnId(f"turn_{secrets.token_hex(12)}")).turn.id


def failed_turns(catalogue: ReportingStore, search: TurnFilter) -> Sequence[TurnId]:
    """Returns the failed turns that match and can be retried, oldest first."""
    found, before = [], None
    while page := catalogue.find_turns(search, limit=PAGE, before=before):
        found += [turn.id for turn in page if is_retriable(turn)]
        before = page[-1]
    return found[::-1]


def is_retriable(turn: Turn) -> bool:
    """Returns whether ``Store.retry_turn`` would accept the turn."""
    retried = any(entry.event is AuditEvent.RETRIED_AS for entry in turn.audit_log)
    return turn.state in (TurnState.FAILED, TurnState.CANCELLED) and turn.erased_at is None and not retried


def retry_all(store: Store, turns: Sequence[TurnId]) -> Mapping[TurnId, str]:
    """Retries turns in this order; returns those that could not be retried, each with the reason."""
    refused = {}
    for turn in turns:
        try:
            retry_turn(store, turn)
        except (TurnNotFound, Conflict) as exc:  # it was retried or deleted since it was listed
            refused[turn] = str(exc)
    return refused


# ---------------------------------------------------------------- a person's data


@dataclass(frozen=True, slots=True)
class BackendThreads:
    """Deletes threads at the backend, for callers without an event loop."""

    open_assistant: Callable[[str], Assistant | None]
    """Returns an assistant by its name, or None. Called on the loop of ``run``. May raise SettingsError."""
    run: CoroutineRunner

    def delete(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        """Deletes the threads; returns, by conversation id, why one was not deleted. Raises SettingsError."""
        return self.run(self._delete(conversations)) if conversations else {}

    async def _delete(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        opened = {name: self.open_assistant(name) for name in {each.assistant for each in conversations}}
        limit = asyncio.Semaphore(MAX_PARALLEL_DELETIONS)

        async def delete(conversation: Conversation) -> str:
            async with limit:
                return await _delete(opened[conversation.assistant], conversation)

        try:
            problems = await asyncio.gather(*map(delete, conversations))
        finally:
            await asyncio.gather(*(each.close() for each in opened.values() if each is not None))
        return {each.id: problem for each, problem in zip(conversations, problems, strict=True) if problem}


async def _delete(assistant: Assistant | None, conversation: Conversation) -> str:
    """Deletes the thread of a conversation; returns why that failed, or an empty string."""
    if conversation.thread_id is None:
        return ""
    if assistant is None:
        return f"its thread is of the assistant {conversation.assistant}, which is not set up"
    if conversation.backend != assistant.name:
        return f"its thread is at the backend {conversation.backend}, but {assistant.name} is configured"
    try:
        await assistant.delete_thread(conversation.thread_id)
    except AssistantError as exc:
        return logs.mask(str(exc))
    return ""


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What was deleted of a person's data."""

    conversations: int = 0
    """Deleted conversations, in which nobody else wrote."""
    shared: int = 0
    """Conversations with others, in which their messages and the replies to them were erased."""
    turns: int = 0
    """Erased turns, in all of these conversations."""
    threads: int = 0
    """Threads deleted at the backend."""
    not_deleted: Sequence[tuple[Conversation, str]] = ()
    """Conversations in which nothing was deleted, each with the reason."""
    abandoned: Sequence[ThreadId] = ()
    """Threads that still exist at the backend, though nothing refers to them here any more."""
    unparsed_updates: int = 0
    """Deleted updates of the platform that could not be parsed."""


def erase_person(books: AdminStore, threads: BackendThreads | None, platform: str, user: str) -> ErasureResult:
    """Deletes a person's messages and the replies to them, here and at the backend. Calling it again retries the rest.

    Their unfinished turns are cancelled first. A conversation in which nobody else wrote is deleted. In one with others
    their turns are erased and its thread is deleted: the next turn creates another thread from the rest. A conversation
    whose thread cannot be deleted stays as it is. With ``threads`` None nothing is deleted at the backend.
    Unparsed updates that contain the person's id are deleted. Raises StoreUnavailable, SettingsError.
    """
    eraser = PersonEraser(books, threads, platform, user)
    for _ in range(MAX_ROUNDS):
        if not eraser.run_round():
            break
    else:
        eraser.report_remaining()
    return eraser.result()


class PersonEraser:
    """Deletes one person's data, in rounds, as they may write meanwhile."""

    def __init__(self, books: AdminStore, threads: BackendThreads | None, platform: str, user: str) -> None:
        self._store = books
        self._threads = threads
        self._person = platform, user
        self._left: dict[int, tuple[Conversation, str]] = {}
        self._whole: set[int] = set()
        self._shared: set[int] = set()
        self._abandoned: list[ThreadId] = []
        self._gone: set[ThreadId] = set()
        self._turns = 0

    def run_round(self) -> bool:
        """Deletes what exists now; returns whether there was anything."""
        for turn in self._store.unfinished_turns_by(*self._person):
            self._store.cancel_turn(turn)
        shares = self._load_conversations()
        problems = self._delete_threads([each for each, _ in shares if each.thread_id])
        for conversation, alone in shares:
            if conversation.id in problems:
                self._left[conversation.id] = conversation, problems[conversation.id]
            else:
                self._delete(conversation, alone=alone)
        return bool(shares)

    def report_remaining(self) -> None:
        """Adds the conversations that still exist to those that were not deleted."""
        self._left |= {each.id: (each, WRITTEN_DURING_DELETION) for each, _ in self._load_conversations()}

    def result(self) -> ErasureResult:
        """Returns the result. Deletes unparsed updates first, and the person's feedback if all else is deleted."""
        unparsed = self._store.unparsed_updates.erase_author(*self._person)
        if not self._left:
            self._store.erase_feedback_by(*self._person)
        left = tuple(self._left.values())
        shared = len(self._shared - self._whole)
        threads, abandoned = len(self._gone), tuple(self._abandoned)
        return ErasureResult(len(self._whole), shared, self._turns, threads, left, abandoned, unparsed)

    def _load_conversations(self) -> Sequence[tuple[Conversation, bool]]:
        return [share for share in self._store.conversations_of(*self._person) if share[0].id not in self._left]

    def _delete_threads(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        if self._threads is None:
            return {}
        problems = self._threads.delete(conversations)
        self._gone |= {each.thread_id for each in conversations if each.id not in problems and each.thread_id}
        return problems

    def _delete(self, conversation: Conversation, *, alone: bool) -> None:
        former = self._store.former_threads(conversation.id)
        erased = self._store.erase_author(conversation, self._person[1])
        if erased is None:  # it has a new thread since: the next round deletes that one
            return
        self._turns += erased
        if self._threads is None and conversation.thread_id is not None:
            self._abandoned.append(conversation.thread_id)
        self._delete_former_threads([replace(conversation, **asdict(each)) for each in former])
        (self._whole if alone else self._shared).add(conversation.id)
        if alone:
            self._store.delete_conversation(conversation.id)

    def _delete_former_threads(self, had: Sequence[Conversation]) -> None:
        """Deletes the earlier threads; reports those that cannot be deleted, as nothing refers to them any more."""
        for each in had:
            if each.thread_id in self._gone or not each.thread_id:
                continue
            if self._threads is None or self._delete_threads([each]):
                self._abandoned.append(each.thread_id)


# ---------------------------------------------------------------- export


def export(books: AdminStore, platform: str, user: str) -> Iterator[str]:
    """Yields everything stored about a person as parts of one JSON object. Times are ISO 8601, UTC; null: not yet.

    ``platform``, ``user``, ``exported_at``;
    ``conversations``: ``id``, ``workspace``, ``channel``, ``topic``, ``alone`` (whether nobody else wrote in it),
    ``thread_id``, ``backend`` and ``assistant`` (its thread, null and empty: none, and whose it is);
    ``turns``, the oldest first: ``turn_id``, ``conversation`` (an ``id``), ``seq`` (its number in it), ``kind``
    (ask, reset, stop, choose), ``assistant`` (the name of who was asked), ``state``, ``message``, ``files`` and
    ``reply_files`` (``name``, ``media_type``, ``size``: their content is at the platform and at the backend),
    ``reply``, ``error`` (null, or ``code`` and ``message``), ``tokens`` (``in``, ``out``), ``received_at``,
    ``started_at``, ``answered_at``, ``delivered_at``;
    ``quoted``: ``turn_id`` and ``text``, what turns of others quote of their messages;
    ``verdicts``: ``turn_id`` and ``value``, their feedback on replies to them and to others;
    ``unparsed_updates``: ``workspace``, ``channel``, ``received_at`` and ``body`` (the platform's JSON, as a string),
    the oldest first: what the gateway could not parse.
    """
    conversations = [_conversation_view(*each) for each in books.conversations_of(platform, user)]
    head = {"platform": platform, "user": user, "exported_at": iso(books.now()), "conversations": conversations}
    yield as_json(head).removesuffix("}") + ',\n"turns": ['
    separator = "\n"
    for turn in _turns_by_author(books, platform, user):
        yield separator + as_json(person_view(turn))
        separator = ",\n"
    quoted = [{"turn_id": turn, "text": quote.text} for turn, quote in books.quotes_of(platform, user)]
    feedback = [_feedback_view(each) for each in books.feedback_by(platform, user)]
    updates = [_unparsed_view(each) for each in books.unparsed_updates.by_author(platform, user)]
    yield f'\n],\n"quoted": {as_json(quoted)},\n"verdicts": {as_json(feedback)},\n'
    yield f'"unparsed_updates": {as_json(updates)}}}\n'


def _turns_by_author(catalogue: ReportingStore, platform: str, user: str) -> Iterator[Turn]:
    after = None
    while page := catalogue.turns_by_author(platform, user, after=after, limit=PAGE):
        yield from page
        after = page[-1]


def _conversation_view(conversation: Conversation, alone: bool) -> dict[str, Any]:  # noqa: FBT001  # one of a pair
    key = asdict(conversation.key)
    where = {name: key[name] for name in ("workspace", "channel", "topic")}
    thread = {name: getattr(conversation, name) for name in ("thread_id", "backend", "assistant")}
    return {"id": conversation.id, **where, "alone": alone, **thread}


def _feedback_view(verdict: Feedback) -> dict[str, Any]:
    return {"turn_id": verdict.turn_id, "value": verdict.value}


def _unparsed_view(update: UnparsedUpdate) -> dict[str, Any]:
    where = {"workspace": update.workspace, "channel": update.channel}
    return {**where, "received_at": iso(update.received_at), "body": update.body}

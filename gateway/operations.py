"""What operators do: read what became of a turn, try it again, delete a person's data, hand it out. Sync."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.domain.errors import AssistantError, Conflict, TurnNotFound
from gateway.domain.models import Conversation, File, Mark, ThreadId, Turn, TurnId, TurnState, Verdict
from gateway.ports.assistant import Assistant
from gateway.ports.reporting import Catalogue, Search
from gateway.ports.store import Store

PAGE = 500
ROUNDS = 5
"""How often it is looked for what a person said while their data was being deleted."""
DELETIONS = 8
"""Threads that are deleted at the same time."""
WRITTEN_MEANWHILE = "they wrote in it while it was being deleted"
ENDS = {TurnState.FAILED: "failed", TurnState.CANCELLED: "cancelled"}
CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""What a terminal may obey, and JSON allows as it is. All else that a terminal obeys is escaped by JSON itself."""

T = TypeVar("T")


class Books(Store, Catalogue, Protocol):
    """The database, with everything that is in it."""


class Run(Protocol):
    """Runs a coroutine to its end, on a loop in the thread of whoever calls."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


# ---------------------------------------------------------------- a turn's way


@dataclass(frozen=True, slots=True)
class Moment:
    at: float
    what: str
    detail: str = ""
    after: float = 0.0
    """Seconds since the moment before."""


def moments(turn: Turn) -> Sequence[Moment]:
    """What happened to a turn, the oldest first."""
    found = sorted(_moments(turn), key=lambda moment: moment.at)
    before = (found[0], *found)
    return [Moment(each.at, each.what, each.detail, each.at - last.at) for each, last in zip(found, before)]  # noqa: B905  # the last one is before nothing


def _moments(turn: Turn) -> Iterator[Moment]:
    marks = {step.mark for step in turn.trail}
    if Mark.RECEIVED not in marks:
        yield Moment(turn.received_at, "received")
    if turn.started_at is not None and Mark.CLAIMED not in marks:
        yield Moment(turn.started_at, "started")
    for step in turn.trail:
        yield Moment(step.at, step.mark.value, step.detail)
    if turn.answered_at is not None:
        yield Moment(turn.answered_at, ENDS.get(turn.state, "answered"), turn.failure.code if turn.failure else "")
    if turn.delivered_at is not None:
        yield Moment(turn.delivered_at, "delivered as" if turn.parts else "delivered", ", ".join(turn.parts))


def iso(at: float) -> str:
    """A time in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---------------------------------------------------------------- as JSON


def as_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(CONTROLS)


def turn_view(turn: Turn) -> dict[str, Any]:
    """A turn as operators get it: with its trail, and its failure's detail."""
    failure = turn.failure
    return person_view(turn) | {
        "platform": turn.message.key.platform,
        "channel": turn.message.key.channel,
        "user": turn.message.author,
        "attempts": turn.attempts,
        "run_id": turn.run_id,
        "model": turn.model,
        "cost": turn.cost,
        "parts": list(turn.parts),
        "error": failure and {"code": failure.code, "message": failure.sentence, "detail": logs.mask(failure.detail)},
        "trail": [{"at": iso(step.at), "what": step.mark.value, "detail": step.detail} for step in turn.trail],
        "erased_at": _iso(turn.erased_at),
    }


def person_view(turn: Turn) -> dict[str, Any]:
    """A turn as the person may have it whose turn it is."""
    failure = turn.failure
    return {
        "turn_id": turn.id,
        "conversation": turn.conversation,
        "seq": turn.seq,
        "kind": turn.message.kind.value,
        "state": turn.state.value,
        "message": turn.message.text,
        "files": [_file(file) for file in turn.message.files],
        "reply": turn.reply,
        "reply_files": [_file(file) for file in turn.files],
        "error": failure and {"code": failure.code, "message": failure.sentence},
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


# ---------------------------------------------------------------- trying again


def retry(store: Store, turn: TurnId) -> TurnId:
    """The turn that it is tried again as. Raises TurnNotFound, Conflict."""
    return store.retry(turn, TurnId(f"turn_{secrets.token_hex(12)}")).turn.id


def failed(catalogue: Catalogue, search: Search) -> Sequence[TurnId]:
    """The failed turns that fit and can be tried again, the oldest first."""
    found, before = [], None
    while page := catalogue.find(search, limit=PAGE, before=before):
        found += [turn.id for turn in page if retriable(turn)]
        before = page[-1]
    return found[::-1]


def retriable(turn: Turn) -> bool:
    """Whether ``Store.retry`` would take it."""
    retried = any(step.mark is Mark.RETRIED for step in turn.trail)
    return turn.state in (TurnState.FAILED, TurnState.CANCELLED) and turn.erased_at is None and not retried


def retry_all(store: Store, turns: Sequence[TurnId]) -> Mapping[TurnId, str]:
    """Try them again in this order; those that could not be, each with the reason."""
    refused = {}
    for turn in turns:
        try:
            retry(store, turn)
        except (TurnNotFound, Conflict) as exc:  # somebody was faster
            refused[turn] = str(exc)
    return refused


# ---------------------------------------------------------------- a person's data


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads at the backend, for whoever has no loop."""

    open_assistant: Callable[[], Assistant]
    """Called on the loop. May raise SettingsError."""
    run: Run

    def delete(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        """Delete the thread of each; by conversation, why that could not be done. Raises SettingsError."""
        return self.run(self._delete(conversations)) if conversations else {}

    async def _delete(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        assistant, gate = self.open_assistant(), asyncio.Semaphore(DELETIONS)

        async def delete(conversation: Conversation) -> str:
            async with gate:
                return await _delete(assistant, conversation)

        try:
            problems = await asyncio.gather(*map(delete, conversations))
        finally:
            await assistant.close()
        return {each.id: problem for each, problem in zip(conversations, problems, strict=True) if problem}


async def _delete(assistant: Assistant, conversation: Conversation) -> str:
    """Empty, or why not."""
    if conversation.thread is None:
        return ""
    if conversation.backend != assistant.name:
        return f"the backend {conversation.backend} opened it, and {assistant.name} is set"
    try:
        await assistant.forget(conversation.thread)
    except AssistantError as exc:
        return logs.mask(str(exc))
    return ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted of a person's data."""

    conversations: int = 0
    """Those that were theirs alone."""
    shared: int = 0
    """Others, in which what they said and got is erased."""
    turns: int = 0
    """In all of them."""
    threads: int = 0
    """At the backend."""
    left: Sequence[tuple[Conversation, str]] = ()
    """Where nothing is deleted, and why."""
    abandoned: Sequence[ThreadId] = ()
    """Threads that were let go of without being deleted."""


def forget(books: Books, threads: Threads | None, platform: str, user: str) -> Forgotten:
    """Delete what a person said and got, here and at the backend. To do it again goes on with what was left.

    Their open turns are cancelled first. A conversation of theirs alone is deleted whole. In one with others their part
    is erased, and its thread is deleted: the next turn opens another, from what is left. A conversation whose thread
    cannot be deleted stays as it is. Without ``threads`` nothing is deleted at the backend. Raises StoreUnavailable,
    SettingsError.
    """
    deleting = _Forgetting(books, threads, platform, user)
    for _ in range(ROUNDS):
        if not deleting.look_again():
            break
    else:
        deleting.give_up()
    return deleting.result()


class _Forgetting:
    """The deleting of one person's data, in rounds: they may say something meanwhile."""

    def __init__(self, books: Books, threads: Threads | None, platform: str, user: str) -> None:
        self._books = books
        self._threads = threads
        self._person = platform, user
        self._left: dict[int, tuple[Conversation, str]] = {}
        self._whole: set[int] = set()
        self._shared: set[int] = set()
        self._abandoned: list[ThreadId] = []
        self._gone: set[ThreadId] = set()
        self._turns = 0

    def look_again(self) -> bool:
        """Delete what is there; whether there was anything."""
        for turn in self._books.unfinished(*self._person):
            self._books.cancel(turn)
        shares = self._shares()
        problems = self._delete_threads([each for each, _ in shares if each.thread])
        for conversation, alone in shares:
            if conversation.id in problems:
                self._left[conversation.id] = conversation, problems[conversation.id]
            else:
                self._delete(conversation, alone=alone)
        return bool(shares)

    def give_up(self) -> None:
        self._left |= {each.id: (each, WRITTEN_MEANWHILE) for each, _ in self._shares()}

    def result(self) -> Forgotten:
        if not self._left:
            self._books.erase_verdicts(*self._person)
        left = tuple(self._left.values())
        shared = len(self._shared - self._whole)
        return Forgotten(len(self._whole), shared, self._turns, len(self._gone), left, tuple(self._abandoned))

    def _shares(self) -> Sequence[tuple[Conversation, bool]]:
        return [share for share in self._books.shares(*self._person) if share[0].id not in self._left]

    def _delete_threads(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        if self._threads is None:
            return {}
        problems = self._threads.delete(conversations)
        self._gone |= {each.thread for each in conversations if each.id not in problems and each.thread}
        return problems

    def _delete(self, conversation: Conversation, *, alone: bool) -> None:
        former = self._books.former_threads(conversation.id)
        erased = self._books.erase_person(conversation, self._person[1])
        if erased is None:  # it has another thread by now: the next round deletes that one
            return
        self._turns += erased
        if self._threads is None and conversation.thread is not None:
            self._abandoned.append(conversation.thread)
        self._delete_former([replace(conversation, thread=thread, backend=backend) for thread, backend in former])
        (self._whole if alone else self._shared).add(conversation.id)
        if alone:
            self._books.forget(conversation.id)

    def _delete_former(self, had: Sequence[Conversation]) -> None:
        """What cannot be deleted is told of by its name: nothing here leads to it any more."""
        for each in had:
            if each.thread in self._gone or not each.thread:
                continue
            if self._threads is None or self._delete_threads([each]):
                self._abandoned.append(each.thread)


# ---------------------------------------------------------------- handing it out


def export(books: Books, platform: str, user: str) -> Iterator[str]:
    """Everything that is kept of a person, as pieces of one JSON object. Times are ISO 8601, UTC; null: not yet.

    ``platform``, ``user``, ``exported_at``;
    ``conversations``: ``id``, ``workspace``, ``channel``, ``topic``, ``alone`` (whether nobody else wrote in it),
    ``thread_id`` and ``backend`` (what remembers it at the assistant; null and empty: nothing does);
    ``turns``, the oldest first: ``turn_id``, ``conversation`` (an ``id``), ``seq`` (its number in there), ``kind``
    (ask, reset, stop), ``state``, ``message``, ``files`` and ``reply_files`` (``name``, ``media_type``, ``size``: their
    content is at the platform and at the backend), ``reply``, ``error`` (null, or ``code`` and ``message``), ``tokens``
    (``in``, ``out``), ``received_at``, ``started_at``, ``answered_at``, ``delivered_at``;
    ``verdicts``: ``turn_id`` and ``value``, what they think of replies to them and to others.
    """
    conversations = [_conversation_view(*share) for share in books.shares(platform, user)]
    head = {"platform": platform, "user": user, "exported_at": iso(books.now()), "conversations": conversations}
    yield as_json(head).removesuffix("}") + ',\n"turns": ['
    separator = "\n"
    for turn in _said_by(books, platform, user):
        yield separator + as_json(person_view(turn))
        separator = ",\n"
    verdicts = [_verdict_view(verdict) for verdict in books.judged_by(platform, user)]
    yield f'\n],\n"verdicts": {as_json(verdicts)}}}\n'


def _said_by(catalogue: Catalogue, platform: str, user: str) -> Iterator[Turn]:
    after = None
    while page := catalogue.said_by(platform, user, after=after, limit=PAGE):
        yield from page
        after = page[-1]


def _conversation_view(conversation: Conversation, alone: bool) -> dict[str, Any]:  # noqa: FBT001  # one of a pair
    key = asdict(conversation.key)
    where = {name: key[name] for name in ("workspace", "channel", "topic")}
    thread = {"thread_id": conversation.thread, "backend": conversation.backend}
    return {"id": conversation.id, **where, "alone": alone, **thread}


def _verdict_view(verdict: Verdict) -> dict[str, Any]:
    return {"turn_id": verdict.turn, "value": verdict.value}

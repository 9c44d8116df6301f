"""Helpers of the Store contract."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Failure, Message, Turn, TurnId, Usage
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from gateway.ports.leased_writes import FinishTurn, LeasedWrite, RecordOutcome
from gateway.ports.store import Store

PLATFORM = "pigeon"
FAILURE = Failure("timed_out", "It took too long.", "after 600 s", 30.0)
FILES = (File("Ωμέγα 🕊.png", 'https://files.test/1?a="b"', "image/png", 3), File("notes", "F2"))
UNSTORABLE_FILE = File("a\x00b", "F\ud800", "\udfff")
STORED_FILE = File("a\ufffdb", "F\ufffd", "\ufffd")
ExpireLease = Callable[[int], None]
"""Lets the lease on a conversation expire_lease."""
LetTimePass = Callable[[float], None]
"""Lets so many seconds pass for locks and token buckets."""


def key(channel: str = "loft", platform: str = PLATFORM) -> ConversationKey:
    return ConversationKey(platform, "workspace", channel, "topic", "user")


def message(
    channel: str = "loft", text: str = "Hello", *, name: str | None = None, platform: str = PLATFORM, **more: Any
) -> Message:
    return Message(key(channel, platform), name or uuid.uuid4().hex, text, "Ada", {"roof": "left"}, **more)


def new_turn() -> TurnId:
    return TurnId(uuid.uuid4().hex)


def enqueue_one(
    store: Store,
    said: Message,
    turn_id: TurnId,
    *,
    owner: str | None = None,
    received_by: str = "",
    max_backlog: int = 100,
) -> EnqueueResult:
    """Commits one message. Raises its error."""
    (result,) = store.enqueue_all((EnqueueRequest(said, turn_id, owner, received_by, max_backlog),))
    if isinstance(result, Exception):
        raise result
    return result


def enqueue(store: Store, channel: str = "loft", text: str = "Hello", owner: str | None = None) -> EnqueueResult:
    return enqueue_one(store, message(channel, text), new_turn(), owner=owner)


def enqueue_and_claim(store: Store, channel: str = "loft", owner: str = "one") -> Claim:
    """Enqueues a message in an idle conversation and claims it."""
    claim = enqueue(store, channel, owner=owner).claim
    assert claim is not None
    return claim


def claim_one(store: Store, owner: str = "one") -> Claim:
    (claim,) = store.claim(owner, [PLATFORM], 10)
    return claim


def get_turn(store: Store, turn: Turn | TurnId) -> Turn:
    found = store.get_turn(turn.id if isinstance(turn, Turn) else turn)
    assert found is not None
    return found


def without_audit_log(turn: object) -> Turn:
    """Returns the turn without its audit log."""
    assert isinstance(turn, Turn)
    return replace(turn, audit_log=())


def remembered(turn: Turn) -> Turn:
    """Returns a turn with what of it an assistant is told later; all else is as in a new turn."""
    said = turn.message
    message = Message(said.key, said.message_id, said.text, said.author, kind=said.kind, files=said.files)
    message = replace(message, caller=said.caller, context=said.context, options=said.options)
    told = Turn(turn.id, turn.conversation_id, turn.seq, message, turn.state, reply=turn.reply, calls=turn.calls)
    told = replace(told, returned=turn.returned, rounds=turn.rounds)
    return replace(told, reply_files=turn.reply_files, handover=turn.handover)


def audit_log(store: Store, turn: Turn | TurnId) -> list[tuple[AuditEvent, str]]:
    """Returns the audit log without times; checks that these are ascending."""
    lines = get_turn(store, turn).audit_log
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    return [(line.event, line.detail) for line in lines]


def apply_write(store: Store, change: LeasedWrite) -> object:
    (result,) = store.apply_writes([change])
    return result


def answer(claim: Claim, reply: str = "Hi") -> RecordOutcome:
    return RecordOutcome(claim.lease, claim.turn, reply, Usage(3, 4))


def finish(claim: Claim, *, keep: bool = True) -> FinishTurn:
    return FinishTurn(claim.lease, claim.turn, claim_next=keep)


def run_concurrently(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Runs all of these at once, each in its own thread; returns the results in order."""
    gate = threading.Barrier(len(works))

    def work(each: Callable[[], Any]) -> Any:
        gate.wait()
        return each()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(work, works))

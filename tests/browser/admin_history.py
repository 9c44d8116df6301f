"""Fills a store with several hundred plausible turns of a few weeks, the same ones on every run."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlalchemy import update

from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.models import (
    ConversationKey,
    Failure,
    Message,
    MessageKind,
    RunId,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
    Usage,
)
from gateway.domain.platform_events import Feedback
from storage import row_mapping
from storage.store import SqlStore
from storage.tables.schema import conversations, turns

DAY = 86_400.0
EXCHANGES = (
    ("Where is my parcel? The number is A-1234.", "It left the warehouse this morning and arrives **tomorrow**."),
    (
        "How do I get an invoice for March?",
        "Under *Account*, *Invoices*, choose March. Shall I send it to you as well?",
    ),
    (
        "Can you summarise the thread above for Ann?",
        "Three points: the date moves to Friday, Ben owns the draft, and …",
    ),
    ("Write a haiku about queues", "Messages in line\neach waits for its own answer\nnone is left behind"),
    ("¿Puedes traducir esto al inglés?", "Of course. Paste the text and I will translate it."),
    (
        "What does error 0x80070057 mean?",
        "A parameter is wrong. Most often it is the path: check that the folder exists.",
    ),
    ("שלום, מה שעות הפתיחה?", "אנחנו פתוחים בימי חול מ־9 עד 17."),
    (
        "Compare these two contracts, please",
        "They differ in the notice period (30 and 90 days) and in who bears the costs.",
    ),
)
FAILURES = (
    (
        Failure(
            "rate_limited", "The assistant is very busy right now.", "429 requests per minute: limit 500, used 500"
        ),
        6,
    ),
    (
        Failure(
            "unavailable", "The assistant cannot be reached right now.", "503 after 3 attempts: upstream connect error"
        ),
        4,
    ),
    (Failure("timed_out", "The assistant took too long to answer.", "no answer within 600 s"), 2),
    (Failure("undeliverable", "The reply could not be delivered.", "channel_is_archived"), 2),
    (
        Failure(
            "refused", "The assistant could not answer this message.", "400 content_filter: the prompt was filtered"
        ),
        1,
    ),
)
CONVERSATION_KEYS = (
    *(ConversationKey("slack", "T024BE7LD", f"C0{number}XKQ4", f"17000{number}.0042") for number in range(6)),
    *(ConversationKey("slack", "T024BE7LD", f"D0{number}MZP1", user=f"U0{number}") for number in range(4)),
    *(ConversationKey("telegram", channel=str(-1001234500 - number), topic=str(number)) for number in range(4)),
    *(ConversationKey("telegram", channel=str(71234500 + number)) for number in range(6)),
    *(ConversationKey("http", channel=f"thr_{number:024x}") for number in range(8)),
)
AUTHORS = ("U01ANN", "U02BEN", "U03CARO", "71234567", "88120045", "web-visitor")


@dataclass
class AdminHistory:
    """Writes turns up to ``now``, in seconds since the epoch."""

    store: SqlStore
    now: float
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    def write(self, turn_count: int = 600) -> None:
        times = sorted(self._message_times(turn_count))
        per_place: dict[ConversationKey, list[float]] = {}
        for at in times:
            per_place.setdefault(self.rng.choice(CONVERSATION_KEYS), []).append(at)
        for place, said_at in per_place.items():
            self._write_conversation(place, said_at)

    def _message_times(self, count: int) -> Iterator[float]:
        """Yields times of messages: more by day than by night, and more recently."""
        while count:
            back = 30 * DAY * self.rng.random() ** 1.5
            at = self.now - 40 - back
            if self.rng.random() < 0.55 + 0.45 * math.sin((at % DAY) / DAY * 2 * math.pi - 2.2):
                count -= 1
                yield at

    def _write_conversation(self, key: ConversationKey, times: list[float]) -> None:
        thread = ThreadId(f"conv_{self.rng.getrandbits(96):024x}")
        conversation = self.store.import_thread(key, thread, "responses", ()).id
        written = [self._new_turn(key, conversation, seq, at) for seq, at in enumerate(times, 1)]
        waiting = self.rng.random() < 0.3
        if waiting:
            written[-1] = _still_queued(written[-1], self.now - self.rng.uniform(1, 70))
        with self.store._database.transaction() as connection:
            for turn in written:
                connection.execute(turns.insert(), row_mapping.resolved_turn_columns(turn) | {"trail": turn.audit_log})
            head = {"tail": len(written), "head": len(written) - waiting, "next_at": self.now if waiting else None}
            connection.execute(update(conversations).where(conversations.c.id == conversation).values(**head))
        if self.rng.random() < 0.4:
            self.store.record_feedback(Feedback(written[0].id, written[0].message.author, "good"))

    def _new_turn(self, key: ConversationKey, conversation_id: int, seq: int, at: float) -> Turn:
        asked, reply = self.rng.choice(EXCHANGES)
        name = TurnId(f"turn_{self.rng.getrandbits(96):024x}")
        waited = self.rng.expovariate(8)
        took = min(90.0, self.rng.lognormvariate(0.9, 0.8))
        message = Message(key, f"m-{name}", asked, self.rng.choice(AUTHORS), {"to": "somewhere"})
        turn = Turn(name, conversation_id, seq, message, TurnState.DELIVERED, 1, RunId(f"resp_{name[5:]}"), reply)
        turn = replace(
            turn,
            usage=Usage(self.rng.randint(300, 5000), self.rng.randint(40, 900)),
            model="gpt-5.4-mini",
            cost=self.rng.randint(900, 42_000),
            received_at=at,
            started_at=at + waited,
            answered_at=at + waited + took,
            delivered_at=at + waited + took + self.rng.uniform(0.05, 0.4),
            audit_log=_audit_log(at, at + waited, f"resp_{name[5:]}"),
        )
        return self._maybe_failed(turn)

    def _maybe_failed(self, turn: Turn) -> Turn:
        fate = self.rng.random()
        if fate < 0.07:
            (failure,) = self.rng.choices([f for f, _ in FAILURES], [weight for _, weight in FAILURES])
            again = AuditEntry((turn.started_at or 0.0) + 0.4, AuditEvent.RUN_RETRIED, failure.detail)
            reply = turn.reply if failure.code == "undeliverable" else ""
            trail = (*turn.audit_log, again)
            return replace(
                turn, state=TurnState.FAILED, failure=failure, reply=reply, delivered_at=None, audit_log=trail
            )
        if fate < 0.09:
            return replace(turn, state=TurnState.CANCELLED, reply="", usage=Usage(), cost=0, delivered_at=None)
        if fate < 0.12:
            message = replace(turn.message, text="reset", kind=MessageKind.RESET)
            return replace(turn, message=message, reply="We begin anew.", usage=Usage(), cost=0, model="")
        return turn


def _audit_log(received: float, started: float, run: str) -> tuple[AuditEntry, ...]:
    process = "gateway-7d9f:1:4be1a2"
    return (
        AuditEntry(received, AuditEvent.RECEIVED, process),
        AuditEntry(started, AuditEvent.CLAIMED, process),
        AuditEntry(started + 0.3, AuditEvent.RUN_STARTED, run),
    )


def _still_queued(turn: Turn, received_at: float) -> Turn:
    fresh = Turn(turn.id, turn.conversation_id, turn.seq, turn.message, TurnState.QUEUED, received_at=received_at)
    return replace(fresh, audit_log=(AuditEntry(received_at, AuditEvent.RECEIVED, "gateway-7d9f:1:4be1a2"),))

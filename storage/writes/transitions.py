"""The state transitions of a turn, as pure functions. ``at`` is the database's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.context import ChatContext
from gateway.domain.copies import changed
from gateway.domain.exchange import CallRound
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Message, MessageKind, Parking, RunId, Turn, TurnState
from gateway.ports.leased_writes import (
    FinishTurn,
    HoldCalls,
    ParkTurn,
    ReassignTurn,
    RecordOutcome,
    SetOutputs,
    SetPostedMessages,
)
from storage.tables.column_types import AuditLog, storable, storable_file

FIRST_ENTRIES: Final = 8
MAX_ENTRIES: Final = 40
"""A longer audit log loses entries from its middle: the first and the newest ones are kept."""
DETAIL_CHARS: Final = 300
CLAIM_SECONDS: Final = 1.0
"""Within this time of when a parked turn is due a process looks for it."""


def appended(turn: Turn, event: AuditEvent, detail: str, at: float) -> AuditLog:
    """Returns the audit log with one more entry."""
    entries = (*turn.audit_log, AuditEntry(at, event, storable(detail[:DETAIL_CHARS])))
    return AuditLog(entries if len(entries) <= MAX_ENTRIES else entries[:FIRST_ENTRIES] + entries[FIRST_ENTRIES + 1 :])


def with_audit_entry(turn: Turn, event: AuditEvent, detail: str, at: float) -> Turn:
    return changed(turn, audit_log=appended(turn, event, detail, at))


def claimed(turn: Turn, owner: str, at: float, overdue: float = 0.0) -> Turn:
    """Claimed, for the first time or again. A resolved turn only needs delivery, which is not counted as an attempt.

    ``overdue``: for how many seconds a parked turn has been due.
    """
    audit_log = appended(turn, AuditEvent.CLAIMED, owner, at)
    if turn.is_parked:
        turn = changed(turn, parking=_woken(turn.parking, at, overdue))
    if turn.state.is_resolved:
        return changed(turn, audit_log=audit_log)
    started = at if turn.started_at is None else turn.started_at
    return changed(turn, state=TurnState.RUNNING, attempts=turn.attempts + 1, started_at=started, audit_log=audit_log)


def with_run(turn: Turn, run_id: RunId, at: float) -> Turn:
    """With its run id; the same id again changes nothing."""
    if turn.run_id == run_id:
        return turn
    return changed(turn, run_id=run_id, audit_log=appended(turn, AuditEvent.RUN_STARTED, run_id, at))


def reassigned(turn: Turn, write: ReassignTurn, at: float) -> Turn:
    """For another assistant, which has not been asked yet. One that was resolved meanwhile stays as it is."""
    if turn.state is not TurnState.RUNNING:
        return turn
    audit_log = appended(turn, AuditEvent.REASSIGNED, write.detail, at)
    return changed(turn, assistant=storable(write.assistant), run_id=None, audit_log=audit_log)


def with_context(turn: Turn, context: ChatContext) -> Turn:
    """With the context of its message, and the files of that as the message's own, unless its content is erased."""
    if turn.erased_at is not None:
        return turn
    known = {file.reference for file in turn.message.files}
    more = (file for file in map(storable_file, context.files) if file.reference not in known)
    files = (*turn.message.files, *more)
    return changed(turn, message=changed(turn.message, context=replace(context, files=()), files=files))


def released(turn: Turn, owner: str, at: float, *, not_started: bool, failed: bool = False) -> Turn:
    """With this claim undone; ``not_started``: queued again, as if it had never been claimed.

    ``failed``: the attempt is counted all the same.
    """
    audit_log = appended(turn, AuditEvent.RELEASED, owner, at)
    if turn.state is not TurnState.RUNNING:
        return changed(turn, audit_log=audit_log)
    attempts = turn.attempts if failed else max(turn.attempts - 1, 0)
    if not_started:
        return changed(turn, state=TurnState.QUEUED, attempts=attempts, started_at=None, audit_log=audit_log)
    return changed(turn, attempts=attempts, audit_log=audit_log)


def parked(turn: Turn, write: ParkTurn, at: float) -> Turn:
    """Released, with the reason why it waits. How long it may wait is counted from the first time for this reason."""
    before = turn.parking if turn.parking is not None and turn.parking.reason == write.reason else None
    since = at if before is None else min(before.since + _unheld_seconds(before, write, at), at)
    parking = Parking(storable(write.reason), storable(write.key), since, since + write.max_seconds)
    detail = f"{write.lease.owner}; waits for: {write.reason}"
    put_off = changed(released(turn, detail, at, not_started=write.not_started), parking=parking)
    return put_off if write.round is None else _with_rounds(put_off, write, (write.round,), at)


def _unheld_seconds(before: Parking, write: ParkTurn, at: float) -> float:
    """Returns for how long nobody had the turn since it was claimed, so that this does not count.

    So it seems when the clock was set forward meanwhile, and so it was if another process had it and died.
    """
    if before.woken_at is None or write.worked_seconds is None:
        return 0.0
    seconds = at - before.woken_at - write.worked_seconds
    return seconds if seconds > CLAIM_SECONDS else 0.0


def with_held_calls(turn: Turn, write: HoldCalls, at: float) -> Turn:
    """With calls that people have to approve, for whom it has not waited yet.

    One that was resolved meanwhile stays as it is.
    """
    if turn.state is not TurnState.RUNNING:
        return turn
    return _with_rounds(changed(turn, parking=None), write, write.rounds, at)


def with_outputs(turn: Turn, write: SetOutputs) -> Turn:
    """With outputs of calls of its last round. One that was resolved meanwhile stays as it is."""
    if turn.state is not TurnState.RUNNING or not turn.rounds:
        return turn
    outputs = {name: storable(output) for name, output in write.outputs.items()}
    return changed(turn, rounds=(*turn.rounds[:-1], turn.rounds[-1].with_outputs(outputs)))


def _with_rounds(turn: Turn, write: ParkTurn | HoldCalls, requested: Sequence[CallRound], at: float) -> Turn:
    """With calls that it waits for. The run that requested them has ended."""
    return changed(
        turn,
        run_id=None,
        rounds=(*turn.rounds, *(replace(each, requested_at=at) for each in requested)),
        usage=write.usage,
        model=storable(write.model),
        cost=write.cost,
        cost_is_estimate=write.cost_is_estimate,
    )


def held(turn: Turn, at: float) -> Turn:
    """Left to a person: answered, without a reply. One that was resolved meanwhile stays as it is."""
    if turn.state is not TurnState.RUNNING:
        return turn
    return changed(turn, state=TurnState.ANSWERED, answered_at=at, handover=HandoverPart.HELD)


def asking(turn: Turn, question: Message) -> Turn:
    """With the question, in place of the command that gave the conversation back."""
    files = tuple(map(storable_file, question.files))
    message = changed(
        turn.message,
        kind=MessageKind.PROMPT,
        text=storable(question.text),
        files=files,
        author=turn.message.author or question.author,
        address=turn.message.address or question.address,
        context=question.context or turn.message.context,
    )
    return changed(turn, message=message, handover=HandoverPart.RESUMED)


def cancelled(turn: Turn, at: float) -> Turn:
    return changed(turn, state=TurnState.CANCELLED, answered_at=at)


def _woken(parking: Parking | None, at: float, overdue: float) -> Parking | None:
    """Returns the parking as it ends. After the clock was set back, it counts from now.

    It has lasted no longer than it was to: neither the hour by which the clock was set forward counts, nor the time in
    which no process was there to claim it.
    """
    if parking is None:
        return None
    shift = min(at - parking.since, 0.0) or max(overdue - CLAIM_SECONDS, 0.0)
    return replace(parking, since=parking.since + shift, expires_at=parking.expires_at + shift, woken_at=at)


def with_outcome(turn: Turn, write: RecordOutcome, at: float) -> Turn:
    """Answered or failed, unless it was resolved before; with what was shown, if it was cancelled."""
    if turn.state is TurnState.CANCELLED and not turn.reply and turn.erased_at is None:
        return changed(turn, reply=storable(write.shown))
    if turn.state is not TurnState.RUNNING:
        return turn
    return changed(
        turn,
        state=TurnState.FAILED if write.failure else TurnState.ANSWERED,
        reply=storable(write.reply),
        reply_files=tuple(map(storable_file, write.files)),
        calls=write.calls,
        returned=write.returned,
        refusal=storable(write.refusal),
        usage=write.usage,
        model=storable(write.model),
        cost=write.cost,
        cost_is_estimate=write.cost_is_estimate,
        failure=write.failure,
        answered_at=at,
    )


def with_posted_messages(turn: Turn, write: SetPostedMessages) -> Turn:
    """With what is posted at the platform now."""
    return changed(turn, posted_messages=tuple(map(storable, write.posted_messages)))


def finished(turn: Turn, write: FinishTurn, at: float) -> Turn:
    """Delivered, with what was posted last; with a failure, the delivery failed, which fails an answered turn."""
    last = write.posted_messages
    posted = turn.posted_messages if last is None else tuple(map(storable, last))
    answered = turn.state is TurnState.ANSWERED
    if write.failure is None:
        state = TurnState.DELIVERED if answered else turn.state
        return changed(turn, state=state, delivered_at=at, posted_messages=posted)
    if answered:
        return changed(turn, state=TurnState.FAILED, failure=write.failure, posted_messages=posted)
    return changed(turn, posted_messages=posted)

"""The stages of a turn with their durations, and its retries. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.domain.audit import AuditEvent
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.ports.turn_log import FIRST_WORDS, TOOL_CALLED, TOOL_RETURNED, TurnLogLine

RETRY_PREFIX = "retry:"
"""Prefix of the message id of a turn that retries another turn; the other turn's id follows."""


@dataclass(frozen=True, slots=True)
class TurnStage:
    """A stage of a turn. ``begin`` and ``share`` are fractions of the turn's total time, from 0 to 1."""

    name: str
    seconds: float
    begin: float
    share: float


def stages(turn: Turn) -> Sequence[TurnStage]:
    """Returns the completed stages of waiting, running and delivering."""
    times = [turn.received_at, turn.started_at, turn.answered_at, turn.delivered_at]
    reached = [at for at in times if at is not None]
    whole = max(reached[-1] - reached[0], 1e-9)
    known = [
        (name, since, until)
        for name, (since, until) in zip(("waiting", "running", "delivering"), pairwise(times), strict=True)
        if since is not None and until is not None
    ]
    return [
        TurnStage(name, max(0.0, until - since), max(0.0, since - reached[0]) / whole, max(0.0, until - since) / whole)
        for name, since, until in known
    ]


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """One thing that took time. ``begin`` and ``share`` are fractions of the turn's total time, from 0 to 1."""

    name: str
    kind: str
    """The class of its bar."""
    after: float
    """Seconds from the arrival of the message."""
    seconds: float
    begin: float
    share: float
    detail: str = ""
    is_inner: bool = False
    """Whether it is a part of another span."""
    is_open: bool = False
    """Whether it has not ended yet."""


def spans(turn: Turn, lines: Sequence[TurnLogLine], now: float) -> Sequence[TurnSpan]:
    """Returns what took time, in the order in which it began.

    First words and tool calls are those of ``lines``: they are known of turns that somebody looked at in time. ``now``:
    by the database's clock, as are the times of the turn.
    """
    times = [turn.received_at, turn.answered_at, turn.delivered_at, now if _goes_on(turn) else None]
    until = max(at for at in times if at is not None)
    found = [*_stored_periods(turn), *_logged_periods(turn, lines)]
    found.sort(key=lambda period: (period.since, period.is_inner))
    return [_span(period, turn.received_at, until) for period in found]


@dataclass(frozen=True, slots=True)
class _Period:
    name: str
    kind: str
    since: float
    until: float | None
    """None: it has not ended."""
    detail: str = ""
    is_inner: bool = False


def _goes_on(turn: Turn) -> bool:
    return not turn.state.is_resolved or turn.state is TurnState.ANSWERED


def _span(period: _Period, first: float, last: float) -> TurnSpan:
    whole, end = max(last - first, 1e-9), last if period.until is None else min(period.until, last)
    seconds, after = max(0.0, end - period.since), max(0.0, period.since - first)
    return TurnSpan(
        period.name,
        period.kind,
        after,
        seconds,
        min(after / whole, 1.0),
        min(seconds / whole, 1.0),
        period.detail,
        period.is_inner,
        period.until is None,
    )


BEGINS: Mapping[AuditEvent, tuple[str, str]] = {
    AuditEvent.RECEIVED: ("queued", "waiting"),
    AuditEvent.CLAIMED: ("claimed", "waiting"),
    AuditEvent.RUN_STARTED: ("run", "running"),
    AuditEvent.RUN_RETRIED: ("waits before it asks again", "waiting"),
    AuditEvent.REASSIGNED: ("passed on", "waiting"),
    AuditEvent.RELEASED: ("queued again", "waiting"),
}
"""The period that begins with an event, and its kind; it ends when the next one begins."""


def _stored_periods(turn: Turn) -> Iterator[_Period]:
    """Yields the periods of which the audit log tells, each until the next one; then the delivery."""
    started = [entry for entry in turn.audit_log if entry.event in BEGINS]
    if not started or started[0].event is not AuditEvent.RECEIVED:
        yield _Period("queued", "waiting", turn.received_at, started[0].at if started else turn.started_at)
    ends = [*(entry.at for entry in started[1:]), turn.answered_at]
    for entry, until in zip(started, ends, strict=True) if started else ():
        name, kind = BEGINS[entry.event]
        if until is not None or not turn.state.is_resolved:
            yield _Period(name, kind, entry.at, until, entry.detail)
    if turn.answered_at is not None and (turn.delivered_at is not None or turn.state is TurnState.ANSWERED):
        yield _Period("delivery", "delivering", turn.answered_at, turn.delivered_at)


def _logged_periods(turn: Turn, lines: Sequence[TurnLogLine]) -> Iterator[_Period]:
    """Yields the wait for the first words, and the tool calls, as far as there are lines about them."""
    begun: dict[str, TurnLogLine] = {}
    for line in lines:
        call = line.fields.get("call", "")
        if line.event == FIRST_WORDS and turn.started_at is not None:
            yield _Period("until the first words", "running", turn.started_at, line.at, is_inner=True)
        elif line.event == TOOL_CALLED:
            begun[call] = line
        elif line.event == TOOL_RETURNED and call in begun:
            yield _tool(begun.pop(call), line.at)
    for line in begun.values():
        yield _tool(line, turn.answered_at)


def _tool(line: TurnLogLine, until: float | None) -> _Period:
    return _Period("tool", "tool", line.at, until, line.fields.get("tool", ""), is_inner=True)


def retried_as(turn: Turn) -> TurnId | None:
    """Returns the turn that retries this one, if any."""
    return next((TurnId(step.detail) for step in turn.audit_log if step.event is AuditEvent.RETRIED_AS), None)


def retry_of(turn: Turn) -> TurnId | None:
    """Returns the turn that this one retries, if any."""
    message_id = turn.message.message_id
    return TurnId(message_id.removeprefix(RETRY_PREFIX)) if message_id.startswith(RETRY_PREFIX) else None

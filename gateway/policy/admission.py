"""Admission control: decides before each run whether the operator's rules allow it, and charges it to budgets."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway import logs
from gateway.coordination.async_store import Journal
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import Answered, Failure, Kind, Mark, Message, Turn, TurnId
from gateway.policy.prices import SOURCE, Prices
from gateway.policy.rules import HOUR, MINUTE, Pace, Rules, Share, Span, Whose
from gateway.ports.budgets import Admission, Ledger, Spent
from gateway.ports.check import Check
from gateway.ports.store import Store

EXHAUSTED, RATE_LIMITED = "budget_exhausted", "rate_limited"
CROWDED_RETRY = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two checks of a contended budget, unless a turn of this process ends earlier."""

USED_UP = {
    Whose.USER: "You have used up your budget for {now}. It resets on {anew}.",
    Whose.CHANNEL: "The budget of this chat for {now} is used up. It resets on {anew}.",
    Whose.PLATFORM: "The assistant's budget for {now} is used up. It resets on {anew}.",
}
CROWDED = "Messages that are being answered may use up the rest of the budget. Please try again in a minute."
TOO_MANY = "That was more than {most} in {span}. Please try again in {wait}."
NOTED = {
    Whose.USER: "You have used {part} of your budget for {now}. It resets on {anew}.",
    Whose.CHANNEL: "This chat has used {part} of its budget for {now}. It resets on {anew}.",
}
"""There is none for platforms: that limit is logged for the operator only."""
NAMED = {1.0: "a second", MINUTE: "a minute", HOUR: "an hour"}
LONGEST_IN_SECONDS = 90.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to run a turn."""

    turn: TurnId
    charged: bool = False
    """Whether the turn is paid from a budget."""
    note: str = ""
    """A sentence for the end of the reply."""

    def beneath(self, reply: str) -> str:
        """Returns the reply, with the notice below it if there is one."""
        return f"{reply}\n\n_{self.note}_" if self.note else reply


@dataclass(frozen=True, slots=True)
class Refusal:
    """Denial of a run, with the reason."""

    failure: Failure


class Gatekeeper:
    """Admission control of one worker.

    Any thread may call ``denial_reason`` and ``cost``, which do no I/O; only the worker's loop may call the rest.
    """

    def __init__(self, rules: Rules, prices: Prices, ledger: Ledger, journal: Journal, *, patience: float) -> None:
        """``max_wait``: seconds for which a turn waits for running turns that may use up the rest of its budgets."""
        self._rules = rules
        self._prices = prices
        self._ledger = ledger
        self._journal = journal
        self._patience = patience
        self._line = _Line()

    def objection(self, message: Message) -> str | None:
        """Returns for the operator why a message is not answered at all; None when it is."""
        return self._rules.objection(message)

    def cost(self, answered: Answered) -> int:
        """Returns the cost of a reply, in millionths."""
        return self._prices.cost(answered.model, answered.usage)

    async def admit(self, turn: Turn) -> Grant | Refusal:
        """Decides whether a claimed turn may run, waiting if need be; reserves what it may cost until ``settle``.

        Does no I/O without limits and budgets, or when the assistant is not asked. A turn that is resumed after its
        process died was admitted before. Raises StoreUnavailable.
        """
        if turn.message.kind is not Kind.ASK:
            return Grant(turn.id)
        denial = await self._too_many(turn)
        if denial is not None:
            return denial
        # A turn's start never changes, so a process that resumes it charges the same day.
        at = turn.received_at if turn.started_at is None else turn.started_at
        applicable = self._rules.shares(turn.message, at)
        return await self._within(turn.id, applicable, at) if applicable else Grant(turn.id)

    async def settle(self, grant: Grant, cost: int = 0) -> None:
        """Charges a turn whose outcome is stored. Raises nothing.

        If this is not called or fails, the next admission within the same budget charges the turn.
        """
        if not grant.charged:
            return
        try:
            await self._journal.read(lambda _: self._ledger.charge(grant.turn, cost))
        except StoreUnavailable as exc:
            log.warning("turn not charged yet; the next turn of its budget will do it", turn=grant.turn, error=str(exc))
        self._line.move()

    # ------------------------------------------------------------ rate limits

    async def _too_many(self, turn: Turn) -> Refusal | None:
        limits = self._rules.pace(turn.message)
        if not limits or _was_here(turn):
            return None
        exceeded = await self._journal.read(lambda store: _first_passed(store, limits))
        if exceeded is None:
            return None
        interval = exceeded.rate.every
        sentence = TOO_MANY.format(
            most=_messages(exceeded.most), span=_lasting(exceeded.seconds), wait=_lasting(interval)
        )
        log.info("turn denied by a rate limit", turn=turn.id, limit=exceeded.bucket)
        return Refusal(Failure(RATE_LIMITED, sentence, detail=exceeded.bucket, retry_after=interval))

    # ------------------------------------------------------------ budgets

    async def _within(self, turn: TurnId, shares: Sequence[Share], at: float) -> Grant | Refusal:
        budgets = [share.budget for share in shares]
        loop = asyncio.get_running_loop()
        deadline, delay = loop.time() + self._patience, FIRST_PAUSE
        while True:
            decision = await self._journal.read(lambda _: self._ledger.admit(turn, budgets))
            if not decision.wait:
                return await self._decided(turn, shares, decision, at)
            if loop.time() + delay > deadline:
                return Refusal(Failure(EXHAUSTED, CROWDED, detail="running turns", retry_after=CROWDED_RETRY))
            await self._line.wait(delay)
            delay = min(2 * delay, LONGEST_PAUSE)

    async def _decided(self, turn: TurnId, shares: Sequence[Share], admission: Admission, at: float) -> Grant | Refusal:
        self._line.move()  # the next waiting turn may have other budgets
        for share in shares:
            if share.budget == admission.exhausted:
                log.info("turn denied by a budget", turn=turn, budget=share.budget.scope, period=share.budget.period)
                left = share.anew.timestamp() - at
                return Refusal(Failure(EXHAUSTED, _used_up(share), detail=share.budget.scope, retry_after=left))
        passed = [(share, spent) for share, spent in zip(shares, admission.spent, strict=True) if _is_passed(spent)]
        note = await self._journal.read(lambda store: self._note(store, turn, passed, at)) if passed else ""
        return Grant(turn, charged=True, note=note)

    def _note(self, store: Store, turn: TurnId, passed: Sequence[tuple[Share, Spent]], at: float) -> str:
        """Logs each exceeded soft limit once in its period, and returns a notice for the reply of the turn that did."""
        first = [
            (share, spent)
            for share, spent in passed
            if store.lease(f"told {share.budget.scope} {share.budget.period}", turn, share.anew.timestamp() - at)
        ]
        for share, spent in first:
            log.warning(
                "soft limit of a budget exceeded",
                budget=share.budget.scope,
                period=share.budget.period,
                spent=spent.cost,
            )
        notices = [_noted(share, spent) for share, spent in first if share.whose in NOTED]
        return notices[0] if notices and self._rules.notes else ""


class _Line:
    """Turns that wait for a contended budget, in order: each time a turn ends, the first checks again."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self, seconds: float) -> None:
        """Waits until ``wake_next`` reaches this caller, at most ``seconds``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def move(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)


def check(rules: Rules, prices: Prices, model: str) -> Check:
    """Checks that budgets can work, which need a price. ``model``: the configured one; empty when there is none."""
    table = f"prices of {SOURCE}"
    if not model:
        return Check("budgets", ok=True, detail=table)
    if prices.of(model) is None:
        effect = "and budgets have no effect" if rules.limits else "but no budget is set"
        return Check(
            "budgets", ok=not rules.limits, detail=f"no price for {model}, so it counts as free, {effect}; set PRICES"
        )
    return Check("budgets", ok=True, detail=f"{table}; {len(rules.limits)} set")


# ---------------------------------------------------------------- sentences


def _used_up(share: Share) -> str:
    return USED_UP[share.whose].format(now=share.span.now, anew=_anew(share))


def _noted(share: Share, spent: Spent) -> str:
    most = share.budget.hard or share.budget.soft or 1
    part = f"{100 * spent.cost // most} %" if share.budget.hard else "all"
    return NOTED[share.whose].format(part=part, now=share.span.now, anew=_anew(share))


def _anew(share: Share) -> str:
    """Returns text such as "22 November at 00:00 UTC"."""
    return (
        f"{share.anew.day} {share.anew:%B} at 00:00 UTC"
        if share.span is Span.DAY
        else f"{share.anew.day} {share.anew:%B}"
    )


def _messages(number: int) -> str:
    return "one message" if number == 1 else f"{number} messages"


def _lasting(seconds: float) -> str:
    """Returns the duration in words, rounded up."""
    if seconds in NAMED:
        return NAMED[seconds]
    return f"{math.ceil(seconds)} seconds" if seconds <= LONGEST_IN_SECONDS else f"{math.ceil(seconds / 60)} minutes"


def _is_passed(spent: Spent) -> bool:
    return spent.budget.soft is not None and spent.cost >= spent.budget.soft


def _was_here(turn: Turn) -> bool:
    """Returns whether a rate limit counted the turn before: in another process, or before it was released."""
    return turn.attempts > 1 or any(step.mark is Mark.HANDED_BACK for step in turn.trail)


def _first_passed(store: Store, paces: Sequence[Pace]) -> Pace | None:
    """Takes a token of each limit; returns the first that has none, or None."""
    return next((pace for pace in paces if store.reserve(pace.bucket, pace.rate, 0.0) is None), None)

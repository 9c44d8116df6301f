"""The gate before every run: whether a turn may have one by the operator's rules, and what it is charged with."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway import logs
from gateway.errors import StoreUnavailable
from gateway.journal import Journal
from gateway.ledger import Admission, Ledger, Spent
from gateway.messages import Answered, Failure, Kind, Mark, Message, Turn, TurnId
from gateway.ports import Check
from gateway.prices import Prices
from gateway.rules import HOUR, MINUTE, Pace, Rules, Share, Span, Whose
from gateway.storing import Store

EXHAUSTED, RATE_LIMITED = "budget_exhausted", "rate_limited"
CROWDED_RETRY = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two questions whether there is money left, when no turn of this process ends meanwhile."""

USED_UP = {
    Whose.USER: "You have used up your budget for {now}. It begins anew on {anew}.",
    Whose.CHANNEL: "The budget of this chat for {now} is used up. It begins anew on {anew}.",
    Whose.PLATFORM: "The assistant's budget for {now} is used up. It begins anew on {anew}.",
}
CROWDED = "What is left of the budget may be used up by messages that are being answered. Please try again in a minute."
TOO_MANY = "That was more than {most} in {span}. Please try again in {wait}."
NOTED = {
    Whose.USER: "You have used {part} of your budget for {now}. It begins anew on {anew}.",
    Whose.CHANNEL: "This chat has used {part} of its budget for {now}. It begins anew on {anew}.",
}
"""That of a platform is the operator's business."""
NAMED = {1.0: "a second", MINUTE: "a minute", HOUR: "an hour"}
LONGEST_IN_SECONDS = 90.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """A turn may be run."""

    turn: TurnId
    charged: bool = False
    """Whether it is paid from a budget."""
    note: str = ""
    """A sentence for the end of its reply."""

    def beneath(self, reply: str) -> str:
        """The reply, with the note under it if there is one."""
        return f"{reply}\n\n_{self.note}_" if self.note else reply


@dataclass(frozen=True, slots=True)
class Refusal:
    """It may not, and this is why."""

    failure: Failure


class Gatekeeper:
    """One per engine. ``objection`` and ``cost`` do no I/O and are for any thread; the rest is for its loop."""

    def __init__(self, rules: Rules, prices: Prices, ledger: Ledger, journal: Journal, *, patience: float) -> None:
        """``patience``: seconds for which a turn waits for others that may use up what is left of its budgets."""
        self._rules = rules
        self._prices = prices
        self._ledger = ledger
        self._journal = journal
        self._patience = patience
        self._line = _Line()

    def objection(self, message: Message) -> str | None:
        """Why nobody answers this at all, for the operator; None when somebody does."""
        return self._rules.objection(message)

    def cost(self, answered: Answered) -> int:
        """What a reply has cost, in millionths."""
        return self._prices.cost(answered.model, answered.usage)

    async def admit(self, turn: Turn) -> Grant | Refusal:
        """Whether a running turn may be run, now or after a while; what it may cost is kept free until ``settle``.

        Without limits and budgets, and for what asks the assistant nothing, it is granted without I/O. A turn that is
        taken up again after its process died was admitted already. Raises StoreUnavailable.
        """
        if turn.message.kind is not Kind.ASK:
            return Grant(turn.id)
        refusal = await self._too_many(turn)
        if refusal is not None:
            return refusal
        # A turn's start never changes once it has begun, so whoever takes it up again counts it to the same day.
        at = turn.received_at if turn.started_at is None else turn.started_at
        shares = self._rules.shares(turn.message, at)
        return await self._within(turn.id, shares, at) if shares else Grant(turn.id)

    async def settle(self, grant: Grant, cost: int = 0) -> None:
        """The turn's outcome is stored, and it has cost so much. Raises nothing.

        If this does not happen, or cannot: whoever asks next within the same budget makes up for it.
        """
        if not grant.charged:
            return
        try:
            await self._journal.read(lambda _: self._ledger.charge(grant.turn, cost))
        except StoreUnavailable as exc:
            log.warning("turn not charged yet", turn=grant.turn, error=str(exc))
        self._line.move()

    # ------------------------------------------------------------ how often

    async def _too_many(self, turn: Turn) -> Refusal | None:
        paces = self._rules.pace(turn.message)
        if not paces or _was_here(turn):
            return None
        passed = await self._journal.read(lambda store: _first_passed(store, paces))
        if passed is None:
            return None
        every = passed.rate.every
        sentence = TOO_MANY.format(most=_messages(passed.most), span=_lasting(passed.seconds), wait=_lasting(every))
        log.info("turn refused", turn=turn.id, limit=passed.bucket)
        return Refusal(Failure(RATE_LIMITED, sentence, detail=passed.bucket, retry_after=every))

    # ------------------------------------------------------------ for how much

    async def _within(self, turn: TurnId, shares: Sequence[Share], at: float) -> Grant | Refusal:
        budgets = [share.budget for share in shares]
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._patience, FIRST_PAUSE
        while True:
            admission = await self._journal.read(lambda _: self._ledger.admit(turn, budgets))
            if not admission.wait:
                return await self._decided(turn, shares, admission, at)
            if loop.time() + pause > deadline:
                return Refusal(Failure(EXHAUSTED, CROWDED, detail="running turns", retry_after=CROWDED_RETRY))
            await self._line.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _decided(self, turn: TurnId, shares: Sequence[Share], admission: Admission, at: float) -> Grant | Refusal:
        self._line.move()  # whoever waits behind this one may have better luck, or wait for something else
        for share in shares:
            if share.budget == admission.exhausted:
                log.info("turn refused", turn=turn, budget=share.budget.scope, period=share.budget.period)
                left = share.anew.timestamp() - at
                return Refusal(Failure(EXHAUSTED, _used_up(share), detail=share.budget.scope, retry_after=left))
        passed = [(share, spent) for share, spent in zip(shares, admission.spent, strict=True) if _is_passed(spent)]
        note = await self._journal.read(lambda store: self._note(store, turn, passed, at)) if passed else ""
        return Grant(turn, charged=True, note=note)

    def _note(self, store: Store, turn: TurnId, passed: Sequence[tuple[Share, Spent]], at: float) -> str:
        """Tell of soft limits that are passed: each once in its period, by whichever turn comes first."""
        told = [
            (share, spent)
            for share, spent in passed
            if store.lease(f"told {share.budget.scope} {share.budget.period}", turn, share.anew.timestamp() - at)
        ]
        for share, spent in told:
            log.warning("soft limit passed", budget=share.budget.scope, period=share.budget.period, spent=spent.cost)
        notes = [_noted(share, spent) for share, spent in told if share.whose in NOTED]
        return notes[0] if notes and self._rules.notes else ""


class _Line:
    """Those who wait for money: when a turn is over the first of them asks again, and then the one behind."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self, seconds: float) -> None:
        """Until ``move`` comes to this one, but not longer than that."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await asyncio.wait((place,), timeout=seconds)
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def move(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)


def check(rules: Rules, prices: Prices, model: str) -> Check:
    """Whether budgets can work, as they need a price. ``model``: the one that is asked; empty where none is."""
    table = f"prices of {prices.date} from {prices.source}"
    if not model:
        return Check("budgets", ok=True, detail=table)
    if prices.of(model) is None:
        unlimited = "and no budget ever fills" if rules.limits else "but no budget is set"
        return Check(
            "budgets", ok=not rules.limits, detail=f"no price for {model}, so it costs nothing, {unlimited}: PRICES"
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
    """Such as "22 November at 00:00 UTC"."""
    return (
        f"{share.anew.day} {share.anew:%B} at 00:00 UTC"
        if share.span is Span.DAY
        else f"{share.anew.day} {share.anew:%B}"
    )


def _messages(number: int) -> str:
    return "one message" if number == 1 else f"{number} messages"


def _lasting(seconds: float) -> str:
    """So long, in words, rounded up."""
    if seconds in NAMED:
        return NAMED[seconds]
    return f"{math.ceil(seconds)} seconds" if seconds <= LONGEST_IN_SECONDS else f"{math.ceil(seconds / 60)} minutes"


def _is_passed(spent: Spent) -> bool:
    return spent.budget.soft is not None and spent.cost >= spent.budget.soft


def _was_here(turn: Turn) -> bool:
    """Whether it was counted already, in another process or before it was handed back."""
    return turn.attempts > 1 or any(step.mark is Mark.HANDED_BACK for step in turn.trail)


def _first_passed(store: Store, paces: Sequence[Pace]) -> Pace | None:
    """Take a place under each of these; the first one that has none free."""
    return next((pace for pace in paces if store.reserve(pace.bucket, pace.rate, 0.0) is None), None)

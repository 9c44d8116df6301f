"""Admission control: decides before each run whether the operator's rules allow it, and charges it to budgets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.audit import AuditEvent
from gateway.domain.errors import Blocked, StoreUnavailable
from gateway.domain.models import NO_TOKENS, Failure, Message, MessageKind, Turn, TurnId
from gateway.languages import say
from gateway.policy import replies
from gateway.policy.block_list import BlockList
from gateway.policy.prices import SOURCE, Prices
from gateway.policy.rules import ApplicableBudget, Rules, UserRateLimit
from gateway.ports.budgets import (
    NOTHING_SPENT,
    AttemptUsage,
    BudgetDecision,
    BudgetStore,
    BudgetUsage,
    Expense,
    ModelUsage,
)
from gateway.ports.check import CheckResult
from gateway.ports.store import Store

BUDGET_EXHAUSTED, RATE_LIMITED = "budget_exhausted", "rate_limited"
CONTENDED_RETRY_SECONDS = 60.0
BUDGET = "budget"
"""Why a turn is parked: running turns may use up the rest of its budget."""
BLOCKED_BY_OPERATOR = "an operator has blocked its author"
FIRST_RETRY_DELAY = 0.5
"""Seconds until a contended budget is checked again, unless a turn that it pays for ends earlier. Then the pause is as
long as the turn has waited already: nobody is woken for nothing often, and a lost wake-up costs no more than double."""

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to run a turn."""

    turn_id: TurnId
    charged: bool = False
    """Whether the turn is paid from a budget."""
    notice: str = ""
    """A sentence for the end of the reply."""

    def with_notice(self, reply: str, language: str = "") -> str:
        """Returns the reply, with the notice below it if there is one."""
        return f"{reply}\n\n_{say(self.notice, language)}_" if self.notice else reply


@dataclass(frozen=True, slots=True)
class Denial:
    """Denial of a run, with the reason."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Wait:
    """The turn is to be parked with a key, and then to be admitted again."""

    key: str
    wake_seconds: float
    max_seconds: float


class AdmissionControl:
    """Admission control of one worker.

    Any thread may call ``denial_reason`` and ``cost``, which do no I/O; only the worker's loop may call the rest.
    """

    def __init__(
        self, rules: Rules, prices: Prices, budget_store: BudgetStore, store: AsyncStore, *, max_wait: float
    ) -> None:
        """``max_wait``: seconds for which a turn waits for running turns that may use up the rest of its budgets."""
        self.on_woken: Callable[[], None] = lambda: None
        """Called when parked turns may have been woken, as an embedded database tells nobody."""
        self._rules = rules
        self._prices = prices
        self._budget_store = budget_store
        self._store = store
        self._max_wait = max_wait
        self.block_list = BlockList()

    def denial_reason(self, message: Message) -> str | None:
        """Returns for the operator why a message is not answered at all; None when it is."""
        if message.is_pushed and not message.may_start_conversation:
            return None  # of the staff: its author is the person who is answered
        reason = self._rules.denial_reason(message)
        if reason is None and self.block_list.refuse(message):
            return BLOCKED_BY_OPERATOR
        return reason

    def block_reason(self, message: Message) -> str | None:
        """Returns for the operator why nothing is taken from the author of a message; None when it is.

        Who is not among those that may use the assistant may answer in its place, and decide about its tools.
        """
        reason = self._rules.block_reason(message)
        if reason is None and self.block_list.find(message) is not None:
            return BLOCKED_BY_OPERATOR
        return reason

    def expense_of(self, used: AttemptUsage) -> Expense:
        """Returns what the runs of a turn cost; its model is the one that used most."""
        usage = sum((each.usage for each in used.by_model), NO_TOKENS)
        cost = sum(self._prices.cost(each.model, each.usage) for each in used.by_model)
        model = max(used.by_model, key=_tokens, default=ModelUsage("", NO_TOKENS)).model
        return Expense(usage, model, cost, used.is_estimate)

    async def admit(self, turn: Turn) -> Grant | Denial | Wait:
        """Decides whether a claimed turn may run, or has to wait; reserves what it may cost until ``settle``.

        Does no I/O without limits and budgets, or when the assistant is not asked. A turn that is resumed after its
        process died was admitted before. Raises StoreUnavailable.
        """
        if turn.message.kind is not MessageKind.PROMPT:
            return Grant(turn.id)
        if self.block_list.find(turn.message) is not None:  # since the message was accepted
            return Denial(Failure(Blocked.code, Blocked.default_message))
        denial = await self._check_rate(turn)
        if denial is not None:
            return denial
        # A turn's start never changes, so a process that resumes it charges the same day.
        at = turn.received_at if turn.started_at is None else turn.started_at
        applicable = self._rules.applicable_budgets(turn.message, at, turn.assistant)
        return await self._check_budgets(turn, applicable, at) if applicable else Grant(turn.id)

    async def settle(self, grant: Grant, cost: int | None) -> None:
        """Charges a turn whose outcome is stored; None: one that has not run and is admitted again. Raises nothing.

        If this is not called or fails, the next admission within the same budget charges the turn.
        """
        if not grant.charged:
            return
        try:
            await self._store.call(lambda _: self._budget_store.charge(grant.turn_id, cost))
        except StoreUnavailable as exc:
            log.warning(
                "turn not charged yet; the next turn of its budget will do it", turn=grant.turn_id, error=str(exc)
            )
        self.on_woken()

    async def settle_ended(self, turn_id: TurnId, expense: Expense | None, before: Expense = NOTHING_SPENT) -> bool:
        """Charges a turn that was cancelled or deleted while it ran, see ``BudgetStore.charge_ended``. Raises nothing.

        If this fails, maintenance charges an estimate later; until then the reservation stays.
        """
        try:
            charged = await self._store.call(lambda _: self._budget_store.charge_ended(turn_id, expense, before))
        except StoreUnavailable as exc:
            log.warning("ended turn not charged yet", turn=turn_id, error=str(exc))
            return False
        self.on_woken()
        return charged

    async def abandoned(self, seconds: float, limit: int) -> Sequence[TurnId]:
        """Returns turns that ended uncharged, see ``BudgetStore.abandoned``. Raises StoreUnavailable."""
        return await self._store.call(lambda _: self._budget_store.abandoned(seconds, limit))

    # ------------------------------------------------------------ rate limits

    async def is_within_rate(self, message: Message) -> bool:
        """Counts a message that ``admit`` does not count; returns whether its author may send so many.

        Raises StoreUnavailable.
        """
        limits = self._rules.rate_limits_of(message)
        return not limits or await self._store.call(lambda store: _first_exceeded(store, limits)) is None

    async def _check_rate(self, turn: Turn) -> Denial | None:
        limits = self._rules.rate_limits_of(turn.message)
        if not limits or _was_counted_before(turn):
            return None
        exceeded = await self._store.call(lambda store: _first_exceeded(store, limits))
        if exceeded is None:
            return None
        interval = exceeded.rate.interval
        reply = replies.rate_limited(exceeded.max_turns, exceeded.seconds, interval)
        log.info("turn denied by a rate limit", turn=turn.id, limit=exceeded.bucket)
        return Denial(Failure(RATE_LIMITED, reply, detail=exceeded.bucket, retry_after=interval))

    # ------------------------------------------------------------ budgets

    async def _check_budgets(
        self, turn: Turn, applicable: Sequence[ApplicableBudget], at: float
    ) -> Grant | Denial | Wait:
        budgets = [each.budget for each in applicable]
        decision = await self._store.call(lambda _: self._budget_store.admit(turn.id, budgets))
        if decision.awaited_budget is None:
            return await self._apply_decision(turn.id, applicable, decision, at)
        parking = turn.parking if turn.parking is not None and turn.parking.reason == BUDGET else None
        if parking is None:
            return Wait(decision.awaited_budget.wake_key, FIRST_RETRY_DELAY, self._max_wait)
        if parking.has_expired:
            detail = "running turns"
            return Denial(
                Failure(BUDGET_EXHAUSTED, replies.CONTENDED, detail=detail, retry_after=CONTENDED_RETRY_SECONDS)
            )
        waited = (parking.woken_at or parking.since) - parking.since
        return Wait(decision.awaited_budget.wake_key, max(waited, FIRST_RETRY_DELAY), self._max_wait)

    async def _apply_decision(
        self, turn_id: TurnId, applicable: Sequence[ApplicableBudget], decision: BudgetDecision, at: float
    ) -> Grant | Denial:
        self.on_woken()  # the decision woke the next waiting turn, which may have other budgets
        exhausted = next((each for each in applicable if each.budget == decision.exhausted_budget), None)
        if exhausted is not None:
            return _denial_by_budget(turn_id, exhausted, at)
        used = zip(applicable, decision.usage, strict=True)
        exceeded = [(each, usage) for each, usage in used if _exceeds_soft_limit(usage)]
        notice = ""
        if exceeded:
            notice = await self._store.call(lambda store: self._soft_limit_notice(store, turn_id, exceeded, at))
        return Grant(turn_id, charged=True, notice=notice)

    def _soft_limit_notice(
        self, store: Store, turn_id: TurnId, exceeded: Sequence[tuple[ApplicableBudget, BudgetUsage]], at: float
    ) -> str:
        """Logs each exceeded soft limit once in its period, and returns a notice for the reply of the turn that did."""
        first = [(each, usage) for each, usage in exceeded if _is_first_to_exceed(store, turn_id, each, at)]
        for each, usage in first:
            scope, period = each.budget.scope, each.budget.period
            log.warning("soft limit of a budget exceeded", budget=scope, period=period, spent=usage.cost)
        notices = filter(None, (replies.soft_limit(each, usage) for each, usage in first))
        return next(notices, "") if self._rules.soft_limit_notices else ""


def check_budgets(rules: Rules, prices: Prices, models: Collection[str]) -> CheckResult:
    """Checks that budgets can work, which need prices. ``models``: all that the settings name."""
    table = f"prices of {SOURCE}"
    if unpriced := [model for model in models if prices.price_of(model) is None]:
        effect = "and budgets have no effect on that" if rules.budget_limits else "but no budget is set"
        return CheckResult(
            "budgets",
            ok=not rules.budget_limits,
            detail=f"no price for {', '.join(unpriced)}, so its use counts as free, {effect}; set PRICES",
        )
    number = f"; {len(rules.budget_limits)} set" if models else ""
    return CheckResult("budgets", ok=True, detail=table + number)


def _denial_by_budget(turn_id: TurnId, exhausted: ApplicableBudget, at: float) -> Denial:
    budget, left = exhausted.budget, exhausted.resets_at.timestamp() - at
    log.info("turn denied by a budget", turn=turn_id, budget=budget.scope, period=budget.period)
    return Denial(Failure(BUDGET_EXHAUSTED, replies.exhausted(exhausted), detail=budget.scope, retry_after=left))


def _exceeds_soft_limit(usage: BudgetUsage) -> bool:
    return usage.budget.soft_limit is not None and usage.cost >= usage.budget.soft_limit


def _is_first_to_exceed(store: Store, turn_id: TurnId, exceeded: ApplicableBudget, at: float) -> bool:
    """Returns whether no other turn has exceeded the soft limit in this period. Does I/O."""
    name = f"told {exceeded.budget.scope} {exceeded.budget.period}"
    return store.try_lock(name, turn_id, exceeded.resets_at.timestamp() - at)


def _tokens(used: ModelUsage) -> int:
    return used.usage.tokens_in + used.usage.tokens_out


def _was_counted_before(turn: Turn) -> bool:
    """Returns whether a rate limit counted the turn before: in another process, or before it was released."""
    return turn.attempts > 1 or any(step.event is AuditEvent.RELEASED for step in turn.audit_log)


def _first_exceeded(store: Store, limits: Sequence[UserRateLimit]) -> UserRateLimit | None:
    """Takes a token of each limit; returns the first that has none, or None."""
    return next((each for each in limits if store.take_token(each.bucket, each.rate, 0.0) is None), None)

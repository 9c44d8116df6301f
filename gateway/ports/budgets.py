"""The interface to the database for budgets: what was spent, and whether a turn may run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from gateway.domain.models import NO_TOKENS, Turn, TurnId, Usage


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of one model."""

    model: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """What the runs of a turn used. ``is_estimate``: whether a part of it is estimated."""

    by_model: Sequence[ModelUsage] = ()
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Expense:
    """What the runs of a turn used, and what that costs."""

    usage: Usage = NO_TOKENS
    model: str = ""
    cost: int = 0
    """In millionths of the currency of the price table."""
    is_estimate: bool = False

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """Returns what is stored with a turn."""
        return cls(turn.usage, turn.model, turn.cost, turn.cost_is_estimate)

    def after(self, before: Expense) -> Expense:
        """Returns it with what was spent before."""
        return Expense(
            before.usage + self.usage,
            self.model or before.model,
            before.cost + self.cost,
            before.is_estimate or self.is_estimate,
        )


NOTHING_SPENT = Expense()


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, by whom and when. Amounts are in millionths of the currency of the price table."""

    scope: str
    """Whose budget, and for which kind of period, such as ``day user slack T1 U1``. Opaque to the database."""
    period: str
    """The day or month, such as ``2026-11-21`` or ``2026-11``. Periods of one scope sort chronologically."""
    soft_limit: int | None = None
    """People are warned from this amount on."""
    hard_limit: int | None = None
    """No more turns are run from this amount on."""
    serialised: bool = False
    """Whether its turns run one at a time. Then at most one turn exceeds the hard limit, whatever turns cost."""

    @property
    def wake_key(self) -> str:
        """The key that wakes turns which wait for this budget."""
        return wake_key(self.scope, self.period)


def wake_key(scope: str, period: str) -> str:
    """Returns ``Budget.wake_key`` of a budget."""
    return f"budget {scope} {period}"


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """What was spent within a budget so far."""

    budget: Budget
    cost: int
    reserved: int = 0
    """The expected cost of running turns."""


@dataclass(frozen=True, slots=True)
class BudgetDecision:
    """Whether a turn may run."""

    usage: Sequence[BudgetUsage]
    """Per budget, without the reservation of the turn itself."""
    exhausted_budget: Budget | None = None
    """The first budget that is used up: the turn may not run."""
    awaited_budget: Budget | None = None
    """Running turns may use up the rest of this budget: ask again when one of them has ended."""

    @property
    def must_wait(self) -> bool:
        return self.awaited_budget is not None

    @property
    def is_granted(self) -> bool:
        return self.exhausted_budget is None and not self.must_wait


class BudgetReport(Protocol):
    """Budgets for operators. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def spent(self, scope_prefix: str, period: str, limit: int) -> Sequence[tuple[str, int]]:
        """Returns the scopes that begin so and what was spent of each in a period, in millionths; the most first."""
        ...

    def refused(self, code: str, since: float) -> Mapping[str, int]:
        """Returns by scope how many turns received since a time failed with the code of a used-up budget."""
        ...


class BudgetStore(Protocol):
    """Spending and reservations. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def admit(self, turn_id: TurnId, budgets: Sequence[Budget]) -> BudgetDecision:
        """Decides whether a turn may run within all of these budgets; if so, reserves its expected cost in each.

        The expected cost is that of the most expensive turn so far in the budget, or all that is left if no turn is
        known yet or the budget is serialised. So however many processes ask at once, at most one turn exceeds a hard
        limit: always if serialised, otherwise as long as no turn costs more than the most expensive one before. A turn
        admitted to the same budgets before stays admitted, whichever process asks, as its run has already cost
        something.

        A reservation counts until its turn is charged. A turn whose outcome was stored but not charged, because its
        process died, is charged by the next call for the same budget.

        A turn that need not wait wakes the next one that does: it may have been woken in its place.
        """
        ...

    def charge(self, turn_id: TurnId, cost: int | None) -> None:
        """Charges the cost of an ended turn to each budget it was admitted to, and removes its reservations.

        None: the turn has not run, and is admitted again later; only the reservations are removed.
        Wakes for each of these budgets the turn that waits longest with its ``wake_key``, in the same transaction.
        Without a reservation it does nothing, so repeated calls charge a turn once.
        """
        ...

    def charge_ended(self, turn_id: TurnId, expense: Expense | None, before: Expense = NOTHING_SPENT) -> bool:
        """Charges a turn that was cancelled or deleted while it ran; stores the expense with the turn if it exists.

        ``before``: what it had used when it waited for something, which is charged and stored already.
        Does nothing if the turn is unfinished or has an outcome, as ``charge`` follows then. None: the expense is not
        known; then each budget pays as much as for the most expensive turn so far. Returns whether a budget was charged
        or the turn changed; repeated calls charge a turn once.
        """
        ...

    def abandoned(self, seconds: float, limit: int) -> Sequence[TurnId]:
        """Returns turns that ended without being charged, first seen by this method more than ``seconds`` ago.

        They were cancelled or deleted, and the process that ran them died. Also notes which ones it sees now.
        """
        ...

    def usage_of(self, budgets: Sequence[Budget]) -> Sequence[BudgetUsage]:
        """Returns the usage of these budgets, in their order. Changes nothing."""
        ...

    def seconds_until_token(self, bucket: str) -> float:
        """Returns the seconds until the next token of a bucket of ``Store.take_token`` is valid. Takes none."""
        ...

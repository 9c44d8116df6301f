"""The BudgetStore on SQLAlchemy: what was spent within budgets, and what is reserved for running turns.

Every transaction locks the rows of its budgets first, in a fixed order, then the reservations: so a budget does not
change during a decision, and no two transactions deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    tuple_,
    update,
)

from gateway.domain.models import TurnId, TurnState
from gateway.ports.budgets import NOTHING_SPENT, Budget, BudgetDecision, BudgetUsage, Expense, wake_key
from storage import parking
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.tables.column_types import SafeText
from storage.tables.schema import holds, limits, spending, turns

S = spending.c
H = holds.c
T = turns.c

BudgetKey = tuple[str, str]
"""Scope and period of a budget."""
Charge = tuple[str, str, int]
"""Scope and period of a budget, and the cost to charge."""

NO_TURN = TurnId("")

# ---------------------------------------------------------------- statements

_budget_keys: BindParameter[Any] = bindparam("places", expanding=True)
_has_outcome = func.coalesce(T.state.in_((TurnState.ANSWERED, TurnState.DELIVERED, TurnState.FAILED)), false())
"""Whether a turn's cost is stored with it. That of a cancelled or deleted one is known by the process that ran it."""
_reserved_by_others = and_(tuple_(H.scope, H.period).in_(_budget_keys), H.turn_id != bindparam("turn"))
_reserved_by_turn = H.turn_id == bindparam("turn")


def _sum(amount: ColumnElement[int], which: ColumnElement[bool]) -> ColumnElement[int]:
    # A sum of BIGINTs is a NUMERIC on PostgreSQL.
    return cast(func.coalesce(func.sum(case((which, amount), else_=0)), 0), BigInteger)


select_budgets = select(S.scope, S.period, S.cost, S.dearest).where(tuple_(S.scope, S.period).in_(_budget_keys))
lock_budgets = select_budgets.order_by(S.scope, S.period).with_for_update()
select_reservations = (
    select(
        *(H.scope, H.period, _sum(H.amount, ~_has_outcome), _sum(T.cost, _has_outcome)),
        func.count(case((_has_outcome, 1))),
    )
    .join_from(holds, turns, T.id == H.turn_id, isouter=True)
    .where(_reserved_by_others)
    .group_by(H.scope, H.period)
)
uncharged_reservations = (
    select(H.turn_id, H.scope, H.period, T.cost)
    .join_from(holds, turns, T.id == H.turn_id)
    .where(_reserved_by_others, _has_outcome)
    .with_for_update(of=holds)
)
reservations_of_turn = select(H.scope, H.period).where(_reserved_by_turn)
delete_reservations = delete(holds).where(_reserved_by_turn).returning(H.scope, H.period)
delete_reservation = delete(holds).where(
    _reserved_by_turn, H.scope == bindparam("whose"), H.period == bindparam("during")
)
delete_other_reservations = delete(holds).where(_reserved_by_turn, tuple_(H.scope, H.period).not_in(_budget_keys))
add_cost = (
    update(spending)
    .where(S.scope == bindparam("whose"), S.period == bindparam("during"))
    .values(
        cost=S.cost + bindparam("amount"),
        dearest=case((or_(S.dearest.is_(None), S.dearest < bindparam("amount")), bindparam("amount")), else_=S.dearest),
    )
)
dearest_costs = (
    select(H.scope, H.period, func.coalesce(S.dearest, H.amount))
    .join_from(holds, spending, and_(S.scope == H.scope, S.period == H.period))
    .where(_reserved_by_turn)
)
_is_ended = ~exists().where(T.id == H.turn_id, T.state != TurnState.CANCELLED)
mark_ended = update(holds).where(H.ended_at.is_(None), _is_ended).values(ended_at=clock())
abandoned = (
    select(H.turn_id)
    .where(H.ended_at <= clock() - bindparam("seconds", type_=H.ended_at.type), _is_ended)
    .distinct()
    .order_by(H.turn_id)
    .limit(bindparam("most"))
)
state_of_turn = select(T.state).where(T.id == bindparam("turn"))
set_expense = (
    update(turns)
    .where(T.id == bindparam("turn"), T.state == TurnState.CANCELLED, T.cost == bindparam("known_cost"))
    .where(T.tokens_in == bindparam("known_in"), T.tokens_out == bindparam("known_out"))
)
"""Sets the columns given as parameters, unless somebody has done so."""
seconds_until_token = select(limits.c.at - clock()).where(limits.c.name == bindparam("bucket"))

_earlier_periods = spending.alias("earlier")
_initial_max_turn_cost = (
    # A new period starts from half of the last maximum, so that the effect of one expensive turn fades.
    select(_earlier_periods.c.dearest // 2)
    .where(_earlier_periods.c.scope == bindparam("whose"))
    .order_by(_earlier_periods.c.period.desc())
    .limit(1)
    .scalar_subquery()
)
_reservation_row = (
    # The lock keeps the turn from being deleted meanwhile.
    select(
        T.id,
        bindparam("whose", type_=SafeText),
        bindparam("during", type_=SafeText),
        bindparam("amount", type_=BigInteger),
    )
    .where(T.id == bindparam("turn"))
    .with_for_update(read=True, key_share=True)
)


class BudgetUpserts:
    """Statements with ON CONFLICT, which SQLAlchemy has a separate insert construct for in each dialect."""

    def __init__(self, kind: str) -> None:
        insert = insert_of(kind)
        opened = insert(spending).values(scope=bindparam("whose"), period=bindparam("during"), cost=0)
        self.insert_budget = opened.values(dearest=_initial_max_turn_cost).on_conflict_do_nothing().inline()
        kept = insert(holds).from_select(["turn_id", "scope", "period", "amount"], _reservation_row)
        changed = {"amount": kept.excluded.amount}
        self.set_reservation = kept.on_conflict_do_update(index_elements=holds.primary_key, set_=changed)


BUDGET_UPSERTS = PerDialect(BudgetUpserts)

# ---------------------------------------------------------------- the store


class BudgetAccount(NamedTuple):
    """The state of a budget."""

    cost: int = 0
    max_turn_cost: int | None = None
    reserved: int = 0
    """By turns other than the one that asks."""
    uncharged_turns: int = 0
    """How many turns have ended without being charged. Their cost is included in ``cost``."""


BudgetAccounts = Mapping[BudgetKey, BudgetAccount]


class SqlBudgetStore:
    """Implements BudgetStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upserts = BUDGET_UPSERTS[database.kind]

    def admit(self, turn_id: TurnId, budgets: Sequence[Budget]) -> BudgetDecision:
        keys = _keys(budgets)
        with self._database.transaction() as connection:
            accounts = self._lock_budgets(connection, turn_id, keys)
            if _reserved_keys(connection, turn_id) == keys:
                return BudgetDecision(_usage(budgets, accounts))
            decision = _decide(budgets, accounts)
            if not decision.must_wait:
                _wake(connection, [_key(each) for each in budgets if decision.exhausted_budget or not each.serialised])
            if not decision.is_granted:
                connection.execute(delete_reservations, {"turn": turn_id})
                return decision
            reservations = [_reservation_parameters(turn_id, budget, accounts[_key(budget)]) for budget in budgets]
            connection.execute(self._upserts.set_reservation, reservations)
            connection.execute(delete_other_reservations, {"turn": turn_id, "places": keys})
            return decision

    def charge(self, turn_id: TurnId, cost: int | None) -> None:
        with self._database.transaction() as connection:
            keys = _reserved_keys(connection, turn_id)
            if keys:
                connection.execute(lock_budgets, {"places": keys}).all()
                released = connection.execute(delete_reservations, {"turn": turn_id}).all()
                if cost is None:
                    _wake(connection, [(scope, period) for scope, period in released])
                else:
                    _add_costs(connection, [(scope, period, cost) for scope, period in released])

    def charge_ended(self, turn_id: TurnId, expense: Expense | None, before: Expense = NOTHING_SPENT) -> bool:
        with self._database.transaction() as connection:
            state = connection.execute(state_of_turn, {"turn": turn_id}).scalar()
            if state not in (None, TurnState.CANCELLED):
                return False
            keys = _reserved_keys(connection, turn_id)
            charged = False
            if keys:
                connection.execute(lock_budgets, {"places": keys}).all()
                charged = _charge_reservations(connection, turn_id, expense)
            if state is None or expense is None:
                return charged
            known = {"turn": turn_id, "known_cost": before.cost, "known_in": before.usage.tokens_in}
            known |= {"known_out": before.usage.tokens_out}
            changed = connection.execute(set_expense, known | _expense_columns(expense.after(before)))
            return changed.rowcount > 0 or charged

    def abandoned(self, seconds: float, limit: int) -> Sequence[TurnId]:
        with self._database.transaction() as connection:
            found = connection.execute(abandoned, {"seconds": seconds, "most": limit})
            turns_found = [TurnId(turn) for (turn,) in found]
            connection.execute(mark_ended)
            return turns_found

    def usage_of(self, budgets: Sequence[Budget]) -> Sequence[BudgetUsage]:
        with self._database.read() as connection:
            return _usage(budgets, _read_accounts(connection, select_budgets, NO_TURN, _keys(budgets)))

    def seconds_until_token(self, bucket: str) -> float:
        with self._database.read() as connection:
            wait: float | None = connection.execute(seconds_until_token, {"bucket": bucket}).scalar()
        return max(0.0, wait or 0.0)

    def _lock_budgets(self, connection: Connection, turn_id: TurnId, keys: Sequence[BudgetKey]) -> BudgetAccounts:
        """Locks these budgets, charges turns that have ended, and returns the state of each budget."""
        accounts = _read_accounts(connection, lock_budgets, turn_id, keys)
        missing = [place for place in keys if place not in accounts]
        if missing:
            new_budgets = [{"whose": scope, "during": period} for scope, period in missing]
            connection.execute(self._upserts.insert_budget, new_budgets)
        uncharged = any(account.uncharged_turns for account in accounts.values())
        if uncharged:
            _charge_finished_turns(connection, turn_id, keys)
        return _read_accounts(connection, lock_budgets, turn_id, keys) if missing or uncharged else accounts


def _read_accounts(
    connection: Connection, statement: Select[*tuple[Any, ...]], turn_id: TurnId, keys: Sequence[BudgetKey]
) -> dict[BudgetKey, BudgetAccount]:
    """Returns the state of those budgets that exist. ``statement`` reads them, or locks them too."""
    known = connection.execute(statement, {"places": list(keys)}).all()
    reservations = {
        (scope, period): numbers
        for scope, period, *numbers in connection.execute(select_reservations, {"places": list(keys), "turn": turn_id})
    }
    accounts = {}
    for scope, period, cost, dearest in known:
        reserved, uncharged, uncharged_turns = reservations.get((scope, period), (0, 0, 0))
        accounts[scope, period] = BudgetAccount(cost + uncharged, dearest, reserved, uncharged_turns)
    return accounts


def _reserved_keys(connection: Connection, turn_id: TurnId) -> list[BudgetKey]:
    return sorted((scope, period) for scope, period in connection.execute(reservations_of_turn, {"turn": turn_id}))


def _charge_finished_turns(connection: Connection, turn_id: TurnId, keys: Sequence[BudgetKey]) -> None:
    """Charges turns that ended without being charged because their process died."""
    found = connection.execute(uncharged_reservations, {"places": list(keys), "turn": turn_id}).all()
    charged = [{"turn": name, "whose": scope, "during": period} for name, scope, period, _ in found]
    if charged:
        connection.execute(delete_reservation, charged)
        _add_costs(connection, [(scope, period, cost) for _, scope, period, cost in found])


def _charge_reservations(connection: Connection, turn_id: TurnId, expense: Expense | None) -> bool:
    """Charges the locked budgets of a turn. Returns whether no other process did while they were waited for."""
    if expense is None:
        charges = [
            (scope, period, cost) for scope, period, cost in connection.execute(dearest_costs, {"turn": turn_id})
        ]
        connection.execute(delete_reservations, {"turn": turn_id}).all()
    else:
        released = connection.execute(delete_reservations, {"turn": turn_id}).all()
        charges = [(scope, period, expense.cost) for scope, period in released]
    _add_costs(connection, charges)
    return bool(charges)


def _expense_columns(expense: Expense) -> dict[str, Any]:
    return {
        "tokens_in": expense.usage.tokens_in,
        "tokens_out": expense.usage.tokens_out,
        "model": expense.model,
        "cost": expense.cost,
        "cost_is_estimate": expense.is_estimate,
    }


def _add_costs(connection: Connection, charges: Sequence[Charge]) -> None:
    """Charges locked budgets, and wakes a turn that waits for each."""
    amounts = [{"whose": scope, "during": period, "amount": cost} for scope, period, cost in sorted(charges)]
    if amounts:
        connection.execute(add_cost, amounts)
        _wake(connection, sorted({(scope, period) for scope, period, _ in charges}))


def _wake(connection: Connection, keys: Iterable[BudgetKey]) -> None:
    for key in keys:
        parking.wake(connection, wake_key(*key))


# ---------------------------------------------------------------- deciding


def _decide(budgets: Sequence[Budget], accounts: BudgetAccounts) -> BudgetDecision:
    """Decides whether a turn may run. Every budget must have an account."""
    used_up = (budget for budget in budgets if _remaining(budget, accounts[_key(budget)]) == 0)
    fully_reserved = (budget for budget in budgets if _is_fully_reserved(budget, accounts[_key(budget)]))
    exhausted = next(used_up, None)
    awaited = next(fully_reserved, None) if exhausted is None else None
    return BudgetDecision(_usage(budgets, accounts), exhausted, awaited)


def _is_fully_reserved(budget: Budget, account: BudgetAccount) -> bool:
    """Whether running turns may use up what another one needs. Without running turns, one turn may always run."""
    remaining = _remaining(budget, account)
    return (
        remaining is not None
        and account.reserved > 0
        and account.reserved + _expected_cost(budget, account) > remaining
    )


def _remaining(budget: Budget, account: BudgetAccount) -> int | None:
    """Returns what may still be spent; None: there is no hard limit."""
    return None if budget.hard_limit is None else max(0, budget.hard_limit - account.cost)


def _expected_cost(budget: Budget, account: BudgetAccount) -> int:
    remaining = _remaining(budget, account)
    if remaining is None:
        return 0
    return remaining if budget.serialised or account.max_turn_cost is None else account.max_turn_cost


def _reservation_parameters(turn_id: TurnId, budget: Budget, account: BudgetAccount) -> dict[str, Any]:
    amount = _expected_cost(budget, account)
    return {"turn": turn_id, "whose": budget.scope, "during": budget.period, "amount": amount}


def _usage(budgets: Sequence[Budget], accounts: BudgetAccounts) -> list[BudgetUsage]:
    found = ((budget, accounts.get(_key(budget), BudgetAccount())) for budget in budgets)
    return [BudgetUsage(budget, account.cost, account.reserved) for budget, account in found]


def _key(budget: Budget) -> BudgetKey:
    return budget.scope, budget.period


def _keys(budgets: Iterable[Budget]) -> list[BudgetKey]:
    return sorted({_key(budget) for budget in budgets})

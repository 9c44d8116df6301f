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
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway.domain.models import TurnId, TurnState
from gateway.ports.budgets import Admission, Budget, Spent
from storage.database import Database
from storage.schema import Words, holds, limits, spending, turns
from storage.sql import clock

S = spending.c
H = holds.c
T = turns.c

Place = tuple[str, str]
"""Scope and period of a budget."""
Charge = tuple[str, str, int]
"""Scope and period of a budget, and the cost to charge."""

NOBODY = TurnId("")

# ---------------------------------------------------------------- statements

_these: BindParameter[Any] = bindparam("places", expanding=True)
_undecided = T.state.in_((TurnState.QUEUED, TurnState.RUNNING))
_of_others = and_(tuple_(H.scope, H.period).in_(_these), H.turn_id != bindparam("turn"))
_of_turn = H.turn_id == bindparam("turn")


def _sum(amount: ColumnElement[int], which: ColumnElement[bool]) -> ColumnElement[int]:
    # A sum of BIGINTs is a NUMERIC on PostgreSQL.
    return cast(func.coalesce(func.sum(case((which, amount), else_=0)), 0), BigInteger)


recall = select(S.scope, S.period, S.cost, S.dearest).where(tuple_(S.scope, S.period).in_(_these))
lock = recall.order_by(S.scope, S.period).with_for_update()
held = (
    select(H.scope, H.period, _sum(H.amount, _undecided), _sum(T.cost, ~_undecided), func.count(case((~_undecided, 1))))
    .join_from(holds, turns, T.id == H.turn_id)
    .where(_of_others)
    .group_by(H.scope, H.period)
)
left_behind = (
    select(H.turn_id, H.scope, H.period, T.cost)
    .join_from(holds, turns, T.id == H.turn_id)
    .where(_of_others, ~_undecided)
    .with_for_update(of=holds)
)
held_by = select(H.scope, H.period).where(_of_turn)
let_go = delete(holds).where(_of_turn).returning(H.scope, H.period)
let_go_of_one = delete(holds).where(_of_turn, H.scope == bindparam("whose"), H.period == bindparam("during"))
let_go_of_others = delete(holds).where(_of_turn, tuple_(H.scope, H.period).not_in(_these))
spend = (
    update(spending)
    .where(S.scope == bindparam("whose"), S.period == bindparam("during"))
    .values(
        cost=S.cost + bindparam("amount"),
        dearest=case((or_(S.dearest.is_(None), S.dearest < bindparam("amount")), bindparam("amount")), else_=S.dearest),
    )
)
free_in = select(limits.c.at - clock()).where(limits.c.name == bindparam("bucket"))

_earlier = spending.alias("earlier")
_expected = (
    # A new period starts from half of the last maximum, so that the effect of one expensive turn fades.
    select(_earlier.c.dearest // 2)
    .where(_earlier.c.scope == bindparam("whose"))
    .order_by(_earlier.c.period.desc())
    .limit(1)
    .scalar_subquery()
)
_of_there = (
    # The lock keeps the turn from being deleted meanwhile.
    select(
        T.id, bindparam("whose", type_=Words), bindparam("during", type_=Words), bindparam("amount", type_=BigInteger)
    )
    .where(T.id == bindparam("turn"))
    .with_for_update(read=True, key_share=True)
)


class Inserts:
    """Statements with ON CONFLICT, which SQLAlchemy has a separate insert construct for in each dialect."""

    def __init__(self, insert: Any) -> None:
        opened = insert(spending).values(scope=bindparam("whose"), period=bindparam("during"), cost=0)
        self.budget = opened.values(dearest=_expected).on_conflict_do_nothing().inline()
        kept = insert(holds).from_select(["turn_id", "scope", "period", "amount"], _of_there)
        changed = {"amount": kept.excluded.amount}
        self.hold = kept.on_conflict_do_update(index_elements=holds.primary_key, set_=changed)


INSERTS = {"sqlite": Inserts(sqlite.insert), "postgresql": Inserts(postgresql.insert)}

# ---------------------------------------------------------------- the store


class Account(NamedTuple):
    """The state of a budget."""

    cost: int = 0
    dearest: int | None = None
    held: int = 0
    """By turns other than the one that asks."""
    left_behind: int = 0
    """How many turns have ended without being charged. Their cost is included in ``cost``."""


Accounts = Mapping[Place, Account]


class SqlLedger:
    """Implements BudgetStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inserts = INSERTS[database.kind]

    def admit(self, turn: TurnId, budgets: Sequence[Budget]) -> Admission:
        keys = _places(budgets)
        with self._database.writing() as connection:
            accounts = self._hold_still(connection, turn, keys)
            if _held_by(connection, turn) == keys:
                return Admission(_spent(budgets, accounts))
            decision = _admission(budgets, accounts)
            if not decision.granted:
                connection.execute(let_go, {"turn": turn})
                return decision
            reservations = [_kept(turn, budget, accounts[_place(budget)]) for budget in budgets]
            connection.execute(self._inserts.hold, reservations)
            connection.execute(let_go_of_others, {"turn": turn, "places": keys})
            return decision

    def charge(self, turn: TurnId, cost: int) -> None:
        with self._database.writing() as connection:
            keys = _held_by(connection, turn)
            if keys:
                connection.execute(lock, {"places": keys}).all()
                released = connection.execute(let_go, {"turn": turn}).all()
                _spend(connection, [(scope, period, cost) for scope, period in released])

    def spent(self, budgets: Sequence[Budget]) -> Sequence[Spent]:
        with self._database.reading() as connection:
            return _spent(budgets, _accounts(connection, recall, NOBODY, _places(budgets)))

    def free_in(self, bucket: str) -> float:
        with self._database.reading() as connection:
            wait: float | None = connection.execute(free_in, {"bucket": bucket}).scalar()
        return max(0.0, wait or 0.0)

    def _hold_still(self, connection: Connection, turn: TurnId, places: Sequence[Place]) -> Accounts:
        """Locks these budgets, charges turns that have ended, and returns the state of each budget."""
        accounts = _accounts(connection, lock, turn, places)
        missing = [place for place in places if place not in accounts]
        if missing:
            new_budgets = [{"whose": scope, "during": period} for scope, period in missing]
            connection.execute(self._inserts.budget, new_budgets)
        uncharged = any(account.left_behind for account in accounts.values())
        if uncharged:
            _settle(connection, turn, places)
        return _accounts(connection, lock, turn, places) if missing or uncharged else accounts


def _accounts(
    connection: Connection, rows: Select[*tuple[Any, ...]], turn: TurnId, places: Sequence[Place]
) -> dict[Place, Account]:
    """Returns the state of those budgets that exist. ``statement`` reads them, or locks them too."""
    known = connection.execute(rows, {"places": list(places)}).all()
    reservations = {
        (scope, period): numbers
        for scope, period, *numbers in connection.execute(held, {"places": list(places), "turn": turn})
    }
    accounts = {}
    for scope, period, cost, dearest in known:
        reserved, uncharged, uncharged_turns = reservations.get((scope, period), (0, 0, 0))
        accounts[scope, period] = Account(cost + uncharged, dearest, reserved, uncharged_turns)
    return accounts


def _held_by(connection: Connection, turn: TurnId) -> list[Place]:
    return sorted((scope, period) for scope, period in connection.execute(held_by, {"turn": turn}))


def _settle(connection: Connection, turn: TurnId, places: Sequence[Place]) -> None:
    """Charges turns that ended without being charged because their process died."""
    found = connection.execute(left_behind, {"places": list(places), "turn": turn}).all()
    charged = [{"turn": name, "whose": scope, "during": period} for name, scope, period, _ in found]
    if charged:
        connection.execute(let_go_of_one, charged)
        _spend(connection, [(scope, period, cost) for _, scope, period, cost in found])


def _spend(connection: Connection, charges: Iterable[Charge]) -> None:
    amounts = [{"whose": scope, "during": period, "amount": cost} for scope, period, cost in sorted(charges)]
    if amounts:
        connection.execute(spend, amounts)


# ---------------------------------------------------------------- deciding


def _admission(budgets: Sequence[Budget], accounts: Accounts) -> Admission:
    """Decides whether a turn may run. Every budget must have an account."""
    used_up = (budget for budget in budgets if _left(budget, accounts[_place(budget)]) == 0)
    fully_reserved = any(_is_crowded(budget, accounts[_place(budget)]) for budget in budgets)
    exhausted = next(used_up, None)
    return Admission(_spent(budgets, accounts), exhausted, wait=exhausted is None and fully_reserved)


def _is_crowded(budget: Budget, account: Account) -> bool:
    """Whether running turns may use up what another one needs. Without running turns, one turn may always run."""
    remaining = _left(budget, account)
    return remaining is not None and account.held > 0 and account.held + _expected_cost(budget, account) > remaining


def _left(budget: Budget, account: Account) -> int | None:
    """Returns what may still be spent; None: there is no hard limit."""
    return None if budget.hard is None else max(0, budget.hard - account.cost)


def _expected_cost(budget: Budget, account: Account) -> int:
    remaining = _left(budget, account)
    if remaining is None:
        return 0
    return remaining if budget.alone or account.dearest is None else account.dearest


def _kept(turn: TurnId, budget: Budget, account: Account) -> dict[str, Any]:
    amount = _expected_cost(budget, account)
    return {"turn": turn, "whose": budget.scope, "during": budget.period, "amount": amount}


def _spent(budgets: Sequence[Budget], accounts: Accounts) -> list[Spent]:
    found = ((budget, accounts.get(_place(budget), Account())) for budget in budgets)
    return [Spent(budget, account.cost, account.held) for budget, account in found]


def _place(budget: Budget) -> Place:
    return budget.scope, budget.period


def _places(budgets: Iterable[Budget]) -> list[Place]:
    return sorted({_place(budget) for budget in budgets})

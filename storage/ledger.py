"""The ledger of gateway.ledger on SQLAlchemy: what was spent within budgets, and what running turns keep free.

Every transaction locks the rows of its budgets first, in one order, and what turns hold after them: so all that is
known of a budget stands still while somebody decides by it, and no two wait for each other.
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

from gateway.ledger import Admission, Budget, Spent
from gateway.messages import TurnId, TurnState
from storage.database import Database
from storage.schema import Words, holds, limits, spending, turns
from storage.statements import clock

S = spending.c
H = holds.c
T = turns.c

Place = tuple[str, str]
"""Scope and period of a budget."""
Charge = tuple[str, str, int]
"""The same, and what it is charged with."""

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
    # A new day begins with what the one before has taught; with half of it, so that one dear turn is forgotten in time.
    select(_earlier.c.dearest // 2)
    .where(_earlier.c.scope == bindparam("whose"))
    .order_by(_earlier.c.period.desc())
    .limit(1)
    .scalar_subquery()
)
_of_there = (
    # The lock holds off who would forget the turn meanwhile.
    select(
        T.id, bindparam("whose", type_=Words), bindparam("during", type_=Words), bindparam("amount", type_=BigInteger)
    )
    .where(T.id == bindparam("turn"))
    .with_for_update(read=True, key_share=True)
)


class Inserts:
    """Those that say ON CONFLICT, which each kind of database has a word of its own for."""

    def __init__(self, insert: Any) -> None:
        opened = insert(spending).values(scope=bindparam("whose"), period=bindparam("during"), cost=0)
        self.budget = opened.values(dearest=_expected).on_conflict_do_nothing().inline()
        kept = insert(holds).from_select(["turn_id", "scope", "period", "amount"], _of_there)
        changed = {"amount": kept.excluded.amount}
        self.hold = kept.on_conflict_do_update(index_elements=holds.primary_key, set_=changed)


INSERTS = {"sqlite": Inserts(sqlite.insert), "postgresql": Inserts(postgresql.insert)}

# ---------------------------------------------------------------- the ledger


class Account(NamedTuple):
    """What is known of a budget."""

    cost: int = 0
    dearest: int | None = None
    held: int = 0
    """By other turns than the one that asks."""
    left_behind: int = 0
    """How many turns are over and were not charged. What they have cost is in ``cost``."""


Accounts = Mapping[Place, Account]


class SqlLedger:
    """Implements gateway.ledger.Ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inserts = INSERTS[database.kind]

    def admit(self, turn: TurnId, budgets: Sequence[Budget]) -> Admission:
        places = _places(budgets)
        with self._database.writing() as connection:
            accounts = self._hold_still(connection, turn, places)
            if _held_by(connection, turn) == places:
                return Admission(_spent(budgets, accounts))
            admission = _admission(budgets, accounts)
            if not admission.granted:
                connection.execute(let_go, {"turn": turn})
                return admission
            kept = [_kept(turn, budget, accounts[_place(budget)]) for budget in budgets]
            connection.execute(self._inserts.hold, kept)
            connection.execute(let_go_of_others, {"turn": turn, "places": places})
            return admission

    def charge(self, turn: TurnId, cost: int) -> None:
        with self._database.writing() as connection:
            places = _held_by(connection, turn)
            if places:
                connection.execute(lock, {"places": places}).all()
                gone = connection.execute(let_go, {"turn": turn}).all()
                _spend(connection, [(scope, period, cost) for scope, period in gone])

    def spent(self, budgets: Sequence[Budget]) -> Sequence[Spent]:
        with self._database.reading() as connection:
            return _spent(budgets, _accounts(connection, recall, NOBODY, _places(budgets)))

    def free_in(self, bucket: str) -> float:
        with self._database.reading() as connection:
            wait: float | None = connection.execute(free_in, {"bucket": bucket}).scalar()
        return max(0.0, wait or 0.0)

    def _hold_still(self, connection: Connection, turn: TurnId, places: Sequence[Place]) -> Accounts:
        """Lock these budgets; what they have seen, with everything that is over charged."""
        accounts = _accounts(connection, lock, turn, places)
        missing = [place for place in places if place not in accounts]
        if missing:
            opened = [{"whose": scope, "during": period} for scope, period in missing]
            connection.execute(self._inserts.budget, opened)
        behind = any(account.left_behind for account in accounts.values())
        if behind:
            _settle(connection, turn, places)
        return _accounts(connection, lock, turn, places) if missing or behind else accounts


def _accounts(
    connection: Connection, rows: Select[*tuple[Any, ...]], turn: TurnId, places: Sequence[Place]
) -> dict[Place, Account]:
    """Of these budgets those that are there. ``rows``: whether they are read or locked."""
    known = connection.execute(rows, {"places": list(places)}).all()
    waiting = {
        (scope, period): numbers
        for scope, period, *numbers in connection.execute(held, {"places": list(places), "turn": turn})
    }
    accounts = {}
    for scope, period, cost, dearest in known:
        kept, uncharged, behind = waiting.get((scope, period), (0, 0, 0))
        accounts[scope, period] = Account(cost + uncharged, dearest, kept, behind)
    return accounts


def _held_by(connection: Connection, turn: TurnId) -> list[Place]:
    return sorted((scope, period) for scope, period in connection.execute(held_by, {"turn": turn}))


def _settle(connection: Connection, turn: TurnId, places: Sequence[Place]) -> None:
    """Charge what is over: whoever should have done it died before."""
    found = connection.execute(left_behind, {"places": list(places), "turn": turn}).all()
    gone = [{"turn": name, "whose": scope, "during": period} for name, scope, period, _ in found]
    if gone:
        connection.execute(let_go_of_one, gone)
        _spend(connection, [(scope, period, cost) for _, scope, period, cost in found])


def _spend(connection: Connection, charges: Iterable[Charge]) -> None:
    amounts = [{"whose": scope, "during": period, "amount": cost} for scope, period, cost in sorted(charges)]
    if amounts:
        connection.execute(spend, amounts)


# ---------------------------------------------------------------- deciding


def _admission(budgets: Sequence[Budget], accounts: Accounts) -> Admission:
    """Every budget has an account."""
    used_up = (budget for budget in budgets if _left(budget, accounts[_place(budget)]) == 0)
    crowded = any(_is_crowded(budget, accounts[_place(budget)]) for budget in budgets)
    exhausted = next(used_up, None)
    return Admission(_spent(budgets, accounts), exhausted, wait=exhausted is None and crowded)


def _is_crowded(budget: Budget, account: Account) -> bool:
    """Whether running turns may use up what another one needs. A turn of its own always has room: the last one."""
    left = _left(budget, account)
    return left is not None and account.held > 0 and account.held + _expected_cost(budget, account) > left


def _left(budget: Budget, account: Account) -> int | None:
    """What may still be spent; None: there is no limit."""
    return None if budget.hard is None else max(0, budget.hard - account.cost)


def _expected_cost(budget: Budget, account: Account) -> int:
    left = _left(budget, account)
    if left is None:
        return 0
    return left if budget.alone or account.dearest is None else account.dearest


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

"""The socket of the database for money: what was spent within a budget, and what may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.messages import TurnId


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, by whom and when. Amounts are in millionths of the currency of the prices."""

    scope: str
    """Whose, and by what kind of period, such as ``day user slack T1 U1``. Opaque to the database."""
    period: str
    """The day or the month, such as ``2026-11-21`` or ``2026-11``. Those of one scope are in the order of time."""
    soft: int | None = None
    """From here on people are warned."""
    hard: int | None = None
    """From here on nothing is asked any more."""
    alone: bool = False
    """Whether its turns run one after the other. Then the hard limit holds whatever each of them costs."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a budget has seen so far."""

    budget: Budget
    cost: int
    held: int = 0
    """What running turns are expected to cost."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a turn may be run."""

    spent: Sequence[Spent]
    """Without what the turn itself holds."""
    exhausted: Budget | None = None
    """The first one that is used up: the turn may not be run."""
    wait: bool = False
    """Running turns may use up what is left: ask again when one of them is over."""

    @property
    def granted(self) -> bool:
        return self.exhausted is None and not self.wait


class Ledger(Protocol):
    """Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def admit(self, turn: TurnId, budgets: Sequence[Budget]) -> Admission:
        """Whether a turn may be run within all of these, and if so, keep free what it may cost in each.

        That is as much as the dearest turn so far in that budget, or all that is left while no turn is known, or where
        turns run alone. So however many processes ask at once, a hard limit is passed by one turn only: where turns run
        alone in any case, elsewhere as long as none costs more than the dearest before it. A turn that was admitted to
        these budgets before stays admitted, whichever process asks: what it has begun costs something already.

        What a turn holds counts as long as it is queued or running. A turn that is over and was not charged, as its
        process died in between, is charged by whoever asks next within the same budget.
        """
        ...

    def charge(self, turn: TurnId, cost: int) -> None:
        """A turn is over, and has cost so much: each budget that it was admitted to is charged and kept free no more.

        To charge a turn that holds nothing does nothing: however often it is told, it is charged once.
        """
        ...

    def spent(self, budgets: Sequence[Budget]) -> Sequence[Spent]:
        """What they have seen so far, in their order. Changes nothing."""
        ...

    def free_in(self, bucket: str) -> float:
        """Seconds until the next place under a limit of ``Store.reserve`` comes free. Takes none."""
        ...

"""What one turn may cost: a limit for loops of tools, which may have no end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.rules import MILLION
from gateway.ports.budgets import ModelUsage
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class TurnCostLimit:
    """The cost after which a turn may call no more tools."""

    prices: Prices
    most: int
    """In millionths of the prices' currency; 0: there is no limit."""

    @classmethod
    def of(cls, prices: PriceSettings, settings: Settings) -> Self:
        return cls(Prices.of(prices, settings), round(settings.max_turn_cost * MILLION))

    def is_reached(self, used: Iterable[ModelUsage], before: int = 0) -> bool:
        """Returns whether these tokens cost so much. A model without a price costs nothing.

        ``before``: what the turn had cost when it began to wait.
        """
        if not self.most:
            return False
        return before + sum(self.prices.cost(each.model, each.usage) for each in used) >= self.most

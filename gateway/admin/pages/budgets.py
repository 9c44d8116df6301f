"""The page of budgets: every one that is set, with what is used of it, and how many turns it refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

import flask

from gateway.admin import names
from gateway.admin.context import AdminContext
from gateway.admin.filters import DAY
from gateway.admin.ttl_cache import TtlCache
from gateway.domain.bots import platform_of
from gateway.domain.models import ConversationKey
from gateway.policy.admission import BUDGET_EXHAUSTED
from gateway.policy.rules import WILDCARD, BudgetLimits, BudgetPeriod, BudgetScope
from gateway.ports.budgets import Budget, BudgetUsage

MOST = 50
"""Of each kind of budget: those of which most is used."""
TTL_SECONDS = 30.0
TITLES = {
    BudgetScope.PLATFORM: "Platforms",
    BudgetScope.ASSISTANT: "Assistants",
    BudgetScope.CHANNEL: "Channels",
    BudgetScope.USER: "People",
    BudgetScope.CALLER: "API keys and addresses",
}


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget in the current period."""

    scope: BudgetScope
    parts: Sequence[str]
    """Whose it is: platform, workspace and id, as far as they apply."""
    usage: BudgetUsage
    refused: int
    """How many turns it refused in this period."""

    @property
    def left(self) -> int | None:
        """Returns ``left_of`` the budget."""
        return left_of(self.usage)

    @property
    def platform(self) -> str:
        return "" if self.scope is BudgetScope.ASSISTANT else self.parts[0]


@dataclass(frozen=True, slots=True)
class BudgetKind:
    """The budgets of one scope and period."""

    scope: BudgetScope
    period: BudgetPeriod
    limits: Mapping[str, BudgetLimits]
    """By platform, or by assistant; under * for all others."""
    rows: Sequence[BudgetRow]
    resets_at: datetime

    @property
    def title(self) -> str:
        return f"{TITLES[self.scope]}, per {self.period}"


class BudgetsPage:
    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._cache: TtlCache[Sequence[BudgetKind]] = TtlCache()

    def show(self) -> str:
        kinds = self._cache.get("all", TTL_SECONDS, lambda: list(self._kinds()))
        rows = [row for kind in kinds for row in kind.rows]
        return flask.render_template(
            "admin/budgets.html", kinds=kinds, most=MOST, everybody=WILDCARD, names=self._names(rows)
        )

    def _names(self, rows: Sequence[BudgetRow]) -> names.Names:
        places = [
            ConversationKey(row.platform, channel=row.parts[2]) for row in rows if row.scope is BudgetScope.CHANNEL
        ]
        people = [(row.platform, row.parts[2]) for row in rows if row.scope is BudgetScope.USER]
        return names.names_of(self._context.store.people, places, people)

    def _kinds(self) -> Iterator[BudgetKind]:
        now, limits = self._context.store.now(), self._context.rules.budget_limits
        refused = {
            period: self._context.budget_report.refused(BUDGET_EXHAUSTED, _start(period, now))
            for period in BudgetPeriod
            if any(each is period for _, each in limits)
        }
        for scope in TITLES:
            for period in BudgetPeriod:
                if by_name := limits.get((scope, period)):
                    rows = self._rows(scope, period, by_name, refused[period], now)
                    yield BudgetKind(scope, period, by_name, rows, period.next_start(now))

    def _rows(
        self,
        scope: BudgetScope,
        period: BudgetPeriod,
        limits: Mapping[str, BudgetLimits],
        refused: Mapping[str, int],
        now: float,
    ) -> Sequence[BudgetRow]:
        prefix, during = f"{period} {scope} ", period.key_at(now)
        found = [spent for spent, _ in self._context.budget_report.spent(prefix, during, MOST)]
        if scope in (BudgetScope.PLATFORM, BudgetScope.ASSISTANT):  # they are named by the settings
            found += [name for each in limits if each != WILDCARD and (name := f"{prefix}{each}") not in found]
        budgets = [budget for name in found if (budget := _budget(scope, prefix, name, during, limits))]
        return [
            BudgetRow(scope, _parts(prefix, used.budget.scope), used, refused.get(used.budget.scope, 0))
            for used in self._context.budget_store.usage_of(budgets)
        ]


def left_of(usage: BudgetUsage) -> int | None:
    """Returns what may still be spent within a budget, in millionths; None: there is no hard limit."""
    hard = usage.budget.hard_limit
    return None if hard is None else max(0, hard - usage.cost)


def _start(period: BudgetPeriod, now: float) -> float:
    """Returns when the current period began."""
    if period is BudgetPeriod.DAY:
        return now // DAY * DAY
    return datetime.fromisoformat(f"{period.key_at(now)}-01T00:00:00+00:00").timestamp()


def _budget(
    scope: BudgetScope, prefix: str, name: str, during: str, limits: Mapping[str, BudgetLimits]
) -> Budget | None:
    """Returns the budget as it is set now; None if it no longer is."""
    first = _parts(prefix, name)[0]
    found = limits.get(first if scope is BudgetScope.ASSISTANT else platform_of(first)) or limits.get(WILDCARD)
    return None if found is None else Budget(name, during, found.soft, found.hard)


def _parts(prefix: str, name: str) -> Sequence[str]:
    return [unquote(part) for part in name.removeprefix(prefix).split(" ")]


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    blueprint.add_url_rule("/budgets", "budgets", BudgetsPage(context).show)

"""What people are told about budgets and rate limits."""

from __future__ import annotations

import math
from datetime import datetime

from gateway.domain.sentences import Sentence, counted, joined, sentence
from gateway.policy.rules import HOUR, MINUTE, ApplicableBudget, BudgetPeriod, BudgetScope
from gateway.ports.budgets import BudgetUsage

EXHAUSTED = {
    (BudgetScope.USER, BudgetPeriod.DAY): sentence("You have used up your budget for today."),
    (BudgetScope.USER, BudgetPeriod.MONTH): sentence("You have used up your budget for this month."),
    (BudgetScope.CALLER, BudgetPeriod.DAY): sentence("The budget of this API key or address for today is used up."),
    (BudgetScope.CALLER, BudgetPeriod.MONTH): sentence(
        "The budget of this API key or address for this month is used up."
    ),
    (BudgetScope.CHANNEL, BudgetPeriod.DAY): sentence("The budget of this chat for today is used up."),
    (BudgetScope.CHANNEL, BudgetPeriod.MONTH): sentence("The budget of this chat for this month is used up."),
    (BudgetScope.ASSISTANT, BudgetPeriod.DAY): sentence("This assistant's budget for today is used up."),
    (BudgetScope.ASSISTANT, BudgetPeriod.MONTH): sentence("This assistant's budget for this month is used up."),
    (BudgetScope.PLATFORM, BudgetPeriod.DAY): sentence("The assistant's budget for today is used up."),
    (BudgetScope.PLATFORM, BudgetPeriod.MONTH): sentence("The assistant's budget for this month is used up."),
}
CONTENDED = sentence(
    "Messages that are being answered may use up the rest of the budget. Please try again in a minute."
)
MAX_SHOWN_IN_SECONDS = 90.0


def exhausted(exceeded: ApplicableBudget) -> Sentence:
    """Returns what is said when a budget is used up."""
    return joined(EXHAUSTED[exceeded.scope, exceeded.period], _reset(exceeded))


def soft_limit(exceeded: ApplicableBudget, usage: BudgetUsage) -> Sentence | None:
    """Returns what is said when a soft limit is exceeded.

    There is none for callers, assistants and platforms: that limit is logged for the operator only.
    """
    hard = exceeded.budget.hard_limit
    percent = 100 * usage.cost // hard if hard else 100
    today = exceeded.period is BudgetPeriod.DAY
    match exceeded.scope:
        case BudgetScope.USER if today:
            used = sentence("You have used {percent} % of your budget for today.", percent=percent)
        case BudgetScope.USER:
            used = sentence("You have used {percent} % of your budget for this month.", percent=percent)
        case BudgetScope.CHANNEL if today:
            used = sentence("This chat has used {percent} % of its budget for today.", percent=percent)
        case BudgetScope.CHANNEL:
            used = sentence("This chat has used {percent} % of its budget for this month.", percent=percent)
        case _:
            return None
    return joined(used, _reset(exceeded))


def rate_limited(most: int, seconds: float, wait: float) -> Sentence:
    """Returns what is said to whoever sends more than ``most`` messages in a minute or an hour.

    ``seconds``: of that period. ``wait``: the seconds until the next message is answered.
    """
    if seconds == HOUR:
        limit = counted(
            "That was more than one message in an hour.", "That was more than {count} messages in an hour.", most
        )
    else:
        limit = counted(
            "That was more than one message in a minute.", "That was more than {count} messages in a minute.", most
        )
    return joined(limit, _again_in(wait))


def _again_in(seconds: float) -> Sentence:
    """Rounds up."""
    if seconds == HOUR:
        return sentence("Please try again in an hour.")
    if seconds <= MAX_SHOWN_IN_SECONDS and seconds != MINUTE:
        return counted(
            "Please try again in a second.", "Please try again in {count} seconds.", max(1, math.ceil(seconds))
        )
    minutes = math.ceil(seconds / MINUTE)
    return counted("Please try again in a minute.", "Please try again in {count} minutes.", minutes)


def _reset(exceeded: ApplicableBudget) -> Sentence:
    if exceeded.period is BudgetPeriod.DAY:
        return sentence("It resets on {date} at 00:00 UTC.", date=_date(exceeded.resets_at))
    return sentence("It resets on {date}.", date=_date(exceeded.resets_at))


def _date(at: datetime) -> Sentence:
    """Returns a day without its year, such as "22 November"."""
    day = at.day
    return (
        sentence("{day} January", day=day),
        sentence("{day} February", day=day),
        sentence("{day} March", day=day),
        sentence("{day} April", day=day),
        sentence("{day} May", day=day),
        sentence("{day} June", day=day),
        sentence("{day} July", day=day),
        sentence("{day} August", day=day),
        sentence("{day} September", day=day),
        sentence("{day} October", day=day),
        sentence("{day} November", day=day),
        sentence("{day} December", day=day),
    )[at.month - 1]

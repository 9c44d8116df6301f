"""The operator's rules: who is answered, how often, and within which budgets. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Self
from urllib.parse import quote

from pydantic import NonNegativeInt, field_validator

from gateway.domain.bots import platform_of
from gateway.domain.models import DEFAULT_ASSISTANT, Message
from gateway.ports.budgets import Budget
from gateway.ports.token_buckets import Rate
from gateway.settings import EnvironmentSettings
from gateway.settings.values import split_list

WILDCARD = "*"
AMOUNT_PATTERN = r"\d{1,9}(?:\.\d{1,6})?"
LIMITS_PATTERN = re.compile(
    rf"(?:(?P<name>[\w-]+)\s*=\s*)?(?:(?P<soft>{AMOUNT_PATTERN})\s*/\s*)?(?P<hard>{AMOUNT_PATTERN})?"
)
MILLION = 1_000_000
MINUTE, HOUR = 60.0, 3600.0


class BudgetScope(StrEnum):
    """Whom a budget is for."""

    USER = "user"
    """A person in a workspace. Someone whose name is unknown is one for each caller, or in each channel."""
    CALLER = "caller"
    """An API key of ``/chat``, or a network without keys, whatever users it names. Platforms that verify authors have
    none."""
    CHANNEL = "channel"
    PLATFORM = "platform"
    ASSISTANT = "assistant"
    """Named by an assistant where the others are by a platform. It pays for the turns that were recorded for it, also
    for what another assistant does in its place."""


class BudgetPeriod(StrEnum):
    """How long a budget lasts. Days and months are in UTC."""

    DAY = "day"
    MONTH = "month"

    @property
    def label(self) -> str:
        """The current period as text: today, this month."""
        return "today" if self is BudgetPeriod.DAY else "this month"

    def key_at(self, at: float) -> str:
        """Returns the day as 2026-12-31, or the month as 2026-12."""
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d" if self is BudgetPeriod.DAY else "%Y-%m")

    def next_start(self, at: float) -> datetime:
        """Returns when the next period begins."""
        day = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is BudgetPeriod.DAY:
            return day + timedelta(days=1)
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


BUDGET_FIELDS = tuple(f"budget_{scope}_{period}" for scope in BudgetScope for period in BudgetPeriod)
"""The settings of budgets."""


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Limits of a budget, in millionths. None: no limit."""

    soft: int | None = None
    hard: int | None = None


class AdmissionSettings(EnvironmentSettings):
    """Settings of who may use the assistant, and for how much."""

    prefixes = ("BUDGET_", "CALLER_TURNS_", "USER_TURNS_")
    lists: ClassVar[Mapping[str, str]] = dict.fromkeys(("allowed", "blocked", *BUDGET_FIELDS), ",")

    allowed: str = ""
    """Who is answered: ``platform:name``, comma-separated, where the name is of a user, a channel or a workspace, or
    ``*`` for all. Platforms that are not named here stay open to everybody."""
    blocked: str = ""
    """Who is never answered; written as ``ALLOWED``."""
    user_turns_per_minute: NonNegativeInt = 0
    """How many turns each user may have in a minute; 0: no limit."""
    user_turns_per_hour: NonNegativeInt = 0
    """How many turns each user may have in an hour; 0: no limit."""
    caller_turns_per_minute: NonNegativeInt = 0
    """How many turns each API key of ``/chat`` (without keys: each address) may have in a minute, whatever users it
    names; 0: no limit."""
    caller_turns_per_hour: NonNegativeInt = 0
    """The same for an hour; 0: no limit."""
    budget_user_day: str = ""
    """What each user may spend in a day (UTC), in the currency of the prices: ``soft/hard`` such as ``0.50/1.00``, only
    ``hard``, or only ``soft/``. With ``platform=`` before it, for that platform: ``0.50/1.00, http=5``."""
    budget_user_month: str = ""
    """What each user may spend in a month; written as ``BUDGET_USER_DAY``."""
    budget_caller_day: str = ""
    """What each API key of ``/chat`` (without keys: each address) may spend in a day, whatever users it names; written
    as ``BUDGET_USER_DAY``."""
    budget_caller_month: str = ""
    """What each API key of ``/chat`` (without keys: each address) may spend in a month; written as
    ``BUDGET_USER_DAY``."""
    budget_channel_day: str = ""
    """What each channel may spend in a day; written as ``BUDGET_USER_DAY``."""
    budget_channel_month: str = ""
    """What each channel may spend in a month; written as ``BUDGET_USER_DAY``."""
    budget_platform_day: str = ""
    """What each platform may spend in a day; written as ``BUDGET_USER_DAY``."""
    budget_platform_month: str = ""
    """What each platform may spend in a month; written as ``BUDGET_USER_DAY``."""
    budget_assistant_day: str = ""
    """What each assistant may spend in a day; written as ``BUDGET_USER_DAY``, with the name of an assistant where that
    has a platform: ``5, support=20/50``."""
    budget_assistant_month: str = ""
    """What each assistant may spend in a month; written as ``BUDGET_ASSISTANT_DAY``."""
    budget_notes: bool = True
    """Add a line to a reply when a soft limit is exceeded, once per period. It is logged in any case."""

    @field_validator("allowed", "blocked")
    @classmethod
    def _check_names(cls, listed: str) -> str:
        for entry in split_list(listed):
            platform, colon, name = entry.partition(":")
            if not (platform and colon and name):
                raise ValueError(
                    f"cannot be read at {entry[:60]!r}; write platform:name, such as slack:U123, or slack:*"
                )
        return listed

    @field_validator(*BUDGET_FIELDS)
    @classmethod
    def _check_budgets(cls, listed: str) -> str:
        _parse_limits(listed)
        return listed

    def budget_limits(self, scope: BudgetScope, period: BudgetPeriod) -> Mapping[str, BudgetLimits]:
        """Returns limits by platform, or by assistant; those under * are for all others."""
        return _parse_limits(getattr(self, f"budget_{scope}_{period}"))

    def wrong_platforms(self, known: Collection[str]) -> Sequence[tuple[str, str]]:
        """Returns the setting and what is wrong, for each name that no platform has: its rule would bind nobody."""
        named = {name: set(_parse_names(getattr(self, name))) for name in ("allowed", "blocked")}
        by_platform = (name for name in BUDGET_FIELDS if BudgetScope.ASSISTANT not in name)
        named |= {name: set(_parse_limits(getattr(self, name))) - {WILDCARD} for name in by_platform}
        return [
            (setting, f"there is no platform {platform!r}; write one of {', '.join(known)}.")
            for setting, platforms in named.items()
            for platform in sorted(platforms - set(known))
        ]

    def wrong_assistants(self, known: Collection[str]) -> Sequence[tuple[str, str]]:
        """Returns the setting and what is wrong, for each name that no assistant has: its budget would bind nobody."""
        scope = BudgetScope.ASSISTANT
        named = {f"budget_{scope}_{each}": set(self.budget_limits(scope, each)) - {WILDCARD} for each in BudgetPeriod}
        return [
            (setting, f"there is no assistant {name!r}; write one of {', '.join(known)}.")
            for setting, names in named.items()
            for name in sorted(names - set(known))
        ]


@dataclass(frozen=True, slots=True)
class ApplicableBudget:
    """A budget that a turn is paid from."""

    scope: BudgetScope
    period: BudgetPeriod
    budget: Budget
    resets_at: datetime
    """When its next period begins."""


@dataclass(frozen=True, slots=True)
class UserRateLimit:
    """How often a person may start a turn."""

    bucket: str
    max_turns: int
    seconds: float

    @property
    def rate(self) -> Rate:
        """Allows all turns at once after a pause, and then one every ``seconds / max_turns``."""
        return Rate(self.seconds / self.max_turns, self.max_turns)


NamesByPlatform = Mapping[str, frozenset[str]]
"""Names of users, channels and workspaces, by platform."""


@dataclass(frozen=True, slots=True)
class Rules:
    allowed: NamesByPlatform
    blocked: NamesByPlatform
    budget_limits: Mapping[tuple[BudgetScope, BudgetPeriod], Mapping[str, BudgetLimits]]
    rate_limits: Mapping[str, tuple[int, float]]
    """Number of a user's turns and of seconds, by the limit's name."""
    caller_rate_limits: Mapping[str, tuple[int, float]]
    """The same for callers."""
    soft_limit_notices: bool = True

    @classmethod
    def load(cls) -> Self:
        """Reads the settings. Raises SettingsError."""
        return cls.from_settings(AdmissionSettings.load())

    @classmethod
    def from_settings(cls, settings: AdmissionSettings) -> Self:
        # Months first: when several budgets are used up, a person is told the one that lasts longer.
        kinds = [(scope, period) for period in (BudgetPeriod.MONTH, BudgetPeriod.DAY) for scope in BudgetScope]
        limits = {kind: settings.budget_limits(*kind) for kind in kinds}
        of_user = {"minute": (settings.user_turns_per_minute, MINUTE), "hour": (settings.user_turns_per_hour, HOUR)}
        of_caller = {
            "caller minute": (settings.caller_turns_per_minute, MINUTE),
            "caller hour": (settings.caller_turns_per_hour, HOUR),
        }
        return cls(
            _parse_names(settings.allowed),
            _parse_names(settings.blocked),
            {kind: each for kind, each in limits.items() if each},
            {name: limit for name, limit in of_user.items() if limit[0]},
            {name: limit for name, limit in of_caller.items() if limit[0]},
            settings.budget_notes,
        )

    def denial_reason(self, message: Message) -> str | None:
        """Returns for the operator why a message is not answered; None when it is."""
        platform = platform_of(message.key.platform)
        allowed = self.allowed.get(platform)
        reason = self.block_reason(message)
        if reason is None and allowed is not None and allowed.isdisjoint(_names_of(message)):
            return f"ALLOWED lists names of {platform}, but none of this message's"
        return reason

    def block_reason(self, message: Message) -> str | None:
        """Returns for the operator which entry of BLOCKED a message has; None for none."""
        platform = platform_of(message.key.platform)
        listed = self.blocked.get(platform)
        blocked = listed and listed & _names_of(message)
        return f"BLOCKED lists {platform}:{min(blocked)}" if blocked else None

    def applicable_budgets(
        self, message: Message, at: float, assistant: str = DEFAULT_ASSISTANT
    ) -> Sequence[ApplicableBudget]:
        """Returns the budgets that pay for a turn of an assistant that started at ``at``."""
        return tuple(self._applicable_budgets(message, at, assistant)) if self.budget_limits else ()

    def _applicable_budgets(self, message: Message, at: float, assistant: str) -> Iterator[ApplicableBudget]:
        for (scope, period), by_name in self.budget_limits.items():
            name = assistant if scope is BudgetScope.ASSISTANT else platform_of(message.key.platform)
            limits = by_name.get(name) or by_name.get(WILDCARD)
            if limits is None or (scope is BudgetScope.CALLER and not message.caller):
                continue
            whose = f"{period} {scope} {_scope_name(scope, message, assistant)}"
            alone = scope is BudgetScope.USER and limits.hard is not None
            budget = Budget(whose, period.key_at(at), limits.soft, limits.hard, serialised=alone)
            yield ApplicableBudget(scope, period, budget, period.next_start(at))

    def rate_limits_of(self, message: Message) -> Sequence[UserRateLimit]:
        """Returns the rate limits of a message's author, then those of its caller; the shortest period first."""
        limits = [(BudgetScope.USER, self.rate_limits)]
        if message.caller:
            limits.append((BudgetScope.CALLER, self.caller_rate_limits))
        return tuple(
            UserRateLimit(f"turns {name} {_scope_name(scope, message)}", most, seconds)
            for scope, by_name in limits
            for name, (most, seconds) in by_name.items()
        )


def _scope_name(scope: BudgetScope, message: Message, assistant: str = DEFAULT_ASSISTANT) -> str:
    return " ".join(quote(part, safe="") for part in _scope_key(scope, message, assistant))


def _scope_key(scope: BudgetScope, message: Message, assistant: str) -> Sequence[str]:
    key = message.key
    match scope:
        case BudgetScope.USER:
            name = user_name(message)
            return (key.platform, key.workspace, *((name,) if name else ("", message.caller or key.channel)))
        case BudgetScope.CALLER:
            return (key.platform, message.caller)
        case BudgetScope.CHANNEL:
            return (key.platform, key.workspace, key.channel)
        case BudgetScope.PLATFORM:
            return (key.platform,)
        case BudgetScope.ASSISTANT:
            return (assistant,)


def _names_of(message: Message) -> AbstractSet[str]:
    """Returns the names by which ALLOWED and BLOCKED may list a message."""
    key = message.key
    return {message.author, key.user, key.channel, key.workspace, message.author_workspace, WILDCARD} - {""}


def user_name(message: Message) -> str:
    """Returns the author's name as budgets and limits compare it. One that only the caller vouches for is folded."""
    return folded_name(message.author) if message.is_claimed else message.author


def folded_name(name: str) -> str:
    """Returns a name that only a caller vouches for as it is compared: trimmed and case-folded, in NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())


# ---------------------------------------------------------------- parsing settings


def _parse_names(listed: str) -> NamesByPlatform:
    names: dict[str, set[str]] = {}
    for entry in split_list(listed):
        platform, _, name = entry.partition(":")
        names.setdefault(platform.strip(), set()).add(name.strip())
    return {platform: frozenset(those) for platform, those in names.items()}


def _parse_limits(listed: str) -> Mapping[str, BudgetLimits]:
    """Parses a budget setting. Raises ValueError."""
    entries = [_parse_limit(entry) for entry in split_list(listed)]
    if len(limits := dict(entries)) < len(entries):
        raise ValueError("has two budgets for the same; write decimals with a point, and soft/hard with a slash")
    return limits


def _parse_limit(entry: str) -> tuple[str, BudgetLimits]:
    found = LIMITS_PATTERN.fullmatch(entry)
    if not found or not (found["soft"] or found["hard"]):
        raise ValueError(f"cannot be read at {entry[:60]!r}; write soft/hard, such as 0.50/1.00, or slack=0.50/1.00")
    soft, hard = (_to_millionths(found[name]) for name in ("soft", "hard"))
    if soft is not None and hard is not None and soft > hard:
        raise ValueError(f"has a soft limit above the hard one at {entry[:60]!r}")
    return found["name"] or WILDCARD, BudgetLimits(soft, hard)


def _to_millionths(amount: str | None) -> int | None:
    return None if amount is None else int(Decimal(amount) * MILLION)

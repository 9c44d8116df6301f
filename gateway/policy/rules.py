"""The operator's rules: who is answered, how often, and within which budgets. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self
from urllib.parse import quote

from pydantic import NonNegativeInt, field_validator

from gateway.domain.models import Message
from gateway.ports.budgets import Budget
from gateway.ports.store import Rate
from gateway.settings import Environment

EVERY = "*"
AMOUNT = r"\d{1,9}(?:\.\d{1,6})?"
LIMITS = re.compile(rf"(?:(?P<platform>\w+)\s*=\s*)?(?:(?P<soft>{AMOUNT})\s*/\s*)?(?P<hard>{AMOUNT})?")
MILLION = 1_000_000
MINUTE, HOUR = 60.0, 3600.0


class Whose(StrEnum):
    """Whom a budget is for."""

    USER = "user"
    """A person in a workspace. Someone whose name is unknown counts as a different person in each channel."""
    CHANNEL = "channel"
    PLATFORM = "platform"


class Span(StrEnum):
    """How long a budget lasts. Days and months are in UTC."""

    DAY = "day"
    MONTH = "month"

    @property
    def now(self) -> str:
        """The current period as text: today, this month."""
        return "today" if self is Span.DAY else "this month"

    def period(self, at: float) -> str:
        """Returns the day as 2026-12-31, or the month as 2026-12."""
        return f"{datetime.fromtimestamp(at, UTC):{'%Y-%m-%d' if self is Span.DAY else '%Y-%m'}}"

    def end(self, at: float) -> datetime:
        """Returns when the next period begins."""
        day = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Span.DAY:
            return day + timedelta(days=1)
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a budget, in millionths. None: no limit."""

    soft: int | None = None
    hard: int | None = None


class AdmissionSettings(Environment):
    allowed: str = ""
    """Comma-separated ``platform:name``; the name is of a user, channel or workspace, or * for all. On a platform that
    is listed here, only these are answered."""
    blocked: str = ""
    """In the same form: who is not answered at all."""
    user_turns_per_minute: NonNegativeInt = 0
    """Per user; 0: no limit."""
    user_turns_per_hour: NonNegativeInt = 0
    budget_user_day: str = ""
    """``soft/hard``, ``hard`` or ``soft/``, in the currency of the prices: ``0.50/1.00``. Prefixed with ``platform=``
    it is for that platform: ``0.50/1.00, http=5``."""
    budget_user_month: str = ""
    budget_channel_day: str = ""
    budget_channel_month: str = ""
    budget_platform_day: str = ""
    budget_platform_month: str = ""
    budget_notes: bool = True
    """Add a line to a reply when a soft limit is exceeded, once per period. It is logged in any case."""

    @field_validator("allowed", "blocked")
    @classmethod
    def _names(cls, listed: str) -> str:
        for entry in _entries(listed):
            platform, colon, name = entry.partition(":")
            if not (platform and colon and name):
                raise ValueError(
                    f"cannot be read at {entry[:60]!r}; write platform:name, such as slack:U123, or slack:*"
                )
        return listed

    @field_validator(*(f"budget_{whose}_{span}" for whose in Whose for span in Span))
    @classmethod
    def _budgets(cls, listed: str) -> str:
        _limits(listed)
        return listed

    def limits(self, whose: Whose, span: Span) -> Mapping[str, Limits]:
        """Returns limits by platform; those under * are for all others."""
        return _limits(getattr(self, f"budget_{whose}_{span}"))


@dataclass(frozen=True, slots=True)
class Share:
    """A budget that a turn is paid from."""

    whose: Whose
    span: Span
    budget: Budget
    anew: datetime
    """When its next period begins."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a person may start a turn."""

    bucket: str
    most: int
    seconds: float

    @property
    def rate(self) -> Rate:
        """Allows all turns at once after a pause, and then one every ``seconds / max_turns``."""
        return Rate(self.seconds / self.most, self.most)


Names = Mapping[str, frozenset[str]]
"""Names of users, channels and workspaces, by platform."""


@dataclass(frozen=True, slots=True)
class Rules:
    allowed: Names
    blocked: Names
    limits: Mapping[tuple[Whose, Span], Mapping[str, Limits]]
    paces: Mapping[str, tuple[int, float]]
    """Number of turns and of seconds, by the limit's name."""
    notes: bool = True

    @classmethod
    def load(cls) -> Self:
        """Reads the settings. Raises SettingsError."""
        return cls.of(AdmissionSettings.load())

    @classmethod
    def of(cls, settings: AdmissionSettings) -> Self:
        # Months first: when several budgets are used up, a person is told the one that lasts longer.
        kinds = [(whose, span) for span in (Span.MONTH, Span.DAY) for whose in Whose]
        limits = {kind: settings.limits(*kind) for kind in kinds}
        paces = {"minute": (settings.user_turns_per_minute, MINUTE), "hour": (settings.user_turns_per_hour, HOUR)}
        return cls(
            _names(settings.allowed),
            _names(settings.blocked),
            {kind: each for kind, each in limits.items() if each},
            {name: pace for name, pace in paces.items() if pace[0]},
            settings.budget_notes,
        )

    def objection(self, message: Message) -> str | None:
        """Returns for the operator why a message is not answered; None when it is."""
        key = message.key
        names = {message.author, key.user, key.channel, key.workspace, EVERY} - {""}
        blocked = names & self.blocked.get(key.platform, frozenset())
        if blocked:
            return f"BLOCKED lists {key.platform}:{min(blocked)}"
        allowed = self.allowed.get(key.platform)
        if allowed is not None and names.isdisjoint(allowed):
            return f"ALLOWED lists names of {key.platform}, but none of this message's"
        return None

    def shares(self, message: Message, at: float) -> Sequence[Share]:
        """Returns the budgets that pay for a turn that started at ``at``."""
        return tuple(self._shares(message, at)) if self.limits else ()

    def _shares(self, message: Message, at: float) -> Iterator[Share]:
        platform = message.key.platform
        for (whose, span), by_platform in self.limits.items():
            limits = by_platform.get(platform) or by_platform.get(EVERY)
            if limits is None:
                continue
            scope = " ".join([span, whose, *(quote(part, safe="") for part in _owner(whose, message))])
            alone = whose is Whose.USER and limits.hard is not None
            budget = Budget(scope, span.period(at), limits.soft, limits.hard, alone=alone)
            yield Share(whose, span, budget, span.end(at))

    def pace(self, message: Message) -> Sequence[Pace]:
        """Returns the rate limits of a message's author, the shortest period first."""
        who = " ".join(quote(part, safe="") for part in _owner(Whose.USER, message)) if self.paces else ""
        return tuple(Pace(f"turns {name} {who}", most, seconds) for name, (most, seconds) in self.paces.items())


def _owner(whose: Whose, message: Message) -> Sequence[str]:
    key = message.key
    match whose:
        case Whose.USER:
            return (key.platform, key.workspace, *((message.author,) if message.author else ("", key.channel)))
        case Whose.CHANNEL:
            return (key.platform, key.workspace, key.channel)
        case Whose.PLATFORM:
            return (key.platform,)


# ---------------------------------------------------------------- parsing settings


def _entries(listed: str) -> Sequence[str]:
    return [entry.strip() for entry in listed.split(",") if entry.strip()]


def _names(listed: str) -> Names:
    names: dict[str, set[str]] = {}
    for entry in _entries(listed):
        platform, _, name = entry.partition(":")
        names.setdefault(platform.strip(), set()).add(name.strip())
    return {platform: frozenset(those) for platform, those in names.items()}


def _limits(listed: str) -> Mapping[str, Limits]:
    """Parses a budget setting. Raises ValueError."""
    return dict(_limit(entry) for entry in _entries(listed))


def _limit(entry: str) -> tuple[str, Limits]:
    found = LIMITS.fullmatch(entry)
    if not found or not (found["soft"] or found["hard"]):
        raise ValueError(f"cannot be read at {entry[:60]!r}; write soft/hard, such as 0.50/1.00, or slack=0.50/1.00")
    soft, hard = (_millionths(found[name]) for name in ("soft", "hard"))
    if soft is not None and hard is not None and soft > hard:
        raise ValueError(f"has a soft limit above the hard one at {entry[:60]!r}")
    return found["platform"] or EVERY, Limits(soft, hard)


def _millionths(amount: str | None) -> int | None:
    return None if amount is None else int(Decimal(amount) * MILLION)

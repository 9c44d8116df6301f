"""What the operator allows: who is answered, how often, and for how much money. Pure: no I/O."""

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

from gateway.ledger import Budget
from gateway.messages import Message
from gateway.settings import Environment
from gateway.storing import Rate

EVERY = "*"
AMOUNT = r"\d{1,9}(?:\.\d{1,6})?"
LIMITS = re.compile(rf"(?:(?P<platform>\w+)\s*=\s*)?(?:(?P<soft>{AMOUNT})\s*/\s*)?(?P<hard>{AMOUNT})?")
MILLION = 1_000_000
MINUTE, HOUR = 60.0, 3600.0


class Whose(StrEnum):
    """Who shares a budget."""

    USER = "user"
    """A person in a workspace. Who has no name counts as another one in each channel."""
    CHANNEL = "channel"
    PLATFORM = "platform"


class Span(StrEnum):
    """How long a budget lasts. Days and months are UTC's."""

    DAY = "day"
    MONTH = "month"

    @property
    def now(self) -> str:
        """The one that lasts, as people say it."""
        return "today" if self is Span.DAY else "this month"

    def period(self, at: float) -> str:
        """The name of the day or the month."""
        return f"{datetime.fromtimestamp(at, UTC):{'%Y-%m-%d' if self is Span.DAY else '%Y-%m'}}"

    def end(self, at: float) -> datetime:
        """When the next one begins."""
        day = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Span.DAY:
            return day + timedelta(days=1)
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent, in millionths. None: as much as they like."""

    soft: int | None = None
    hard: int | None = None


class AdmissionSettings(Environment):
    allowed: str = ""
    """``platform:name`` with commas, where the name is of a user, channel or workspace, or * for all. Of a platform
    that is named here only these are answered."""
    blocked: str = ""
    """The same. Who is named here is not answered at all."""
    user_turns_per_minute: NonNegativeInt = 0
    """For each user; 0: no limit."""
    user_turns_per_hour: NonNegativeInt = 0
    budget_user_day: str = ""
    """``soft/hard``, only ``hard`` or only ``soft/``, in the currency of the prices: ``0.50/1.00``. With ``platform=``
    before it, for that platform: ``0.50/1.00, http=5``."""
    budget_user_month: str = ""
    budget_channel_day: str = ""
    budget_channel_month: str = ""
    budget_platform_day: str = ""
    budget_platform_month: str = ""
    budget_notes: bool = True
    """Whether a line under a reply tells when a soft limit is passed, once in its period; the log tells in any case."""

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
        """By platform; under * for all others."""
        return _limits(getattr(self, f"budget_{whose}_{span}"))


@dataclass(frozen=True, slots=True)
class Share:
    """A budget that a turn is paid from."""

    whose: Whose
    span: Span
    budget: Budget
    anew: datetime
    """When it begins again from nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a person may have a turn."""

    bucket: str
    most: int
    seconds: float

    @property
    def rate(self) -> Rate:
        """All of them at once after a pause, and one each share of ``seconds`` from then on."""
        return Rate(self.seconds / self.most, self.most)


Names = Mapping[str, frozenset[str]]
"""Of users, channels and workspaces, by platform."""


@dataclass(frozen=True, slots=True)
class Rules:
    allowed: Names
    blocked: Names
    limits: Mapping[tuple[Whose, Span], Mapping[str, Limits]]
    paces: Mapping[str, tuple[int, float]]
    """By its name, how many turns in how many seconds."""
    notes: bool = True

    @classmethod
    def load(cls) -> Self:
        """Raises SettingsError."""
        return cls.of(AdmissionSettings.load())

    @classmethod
    def of(cls, settings: AdmissionSettings) -> Self:
        # Months first: of several budgets that are used up, a person is told of the one that lasts longer.
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
        """Why nobody answers this, for the operator; None when somebody does."""
        key = message.key
        names = {message.author, key.user, key.channel, key.workspace, EVERY} - {""}
        blocked = names & self.blocked.get(key.platform, frozenset())
        if blocked:
            return f"BLOCKED has {key.platform}:{min(blocked)}"
        allowed = self.allowed.get(key.platform)
        if allowed is not None and names.isdisjoint(allowed):
            return f"ALLOWED has names of {key.platform}, and none of these"
        return None

    def shares(self, message: Message, at: float) -> Sequence[Share]:
        """The budgets that a turn begun at this time is paid from."""
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
        """How often its author may have a turn, the shortest time first."""
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


# ---------------------------------------------------------------- reading settings


def _entries(listed: str) -> Sequence[str]:
    return [entry.strip() for entry in listed.split(",") if entry.strip()]


def _names(listed: str) -> Names:
    names: dict[str, set[str]] = {}
    for entry in _entries(listed):
        platform, _, name = entry.partition(":")
        names.setdefault(platform.strip(), set()).add(name.strip())
    return {platform: frozenset(those) for platform, those in names.items()}


def _limits(listed: str) -> Mapping[str, Limits]:
    """Raises ValueError."""
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

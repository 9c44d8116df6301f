"""What the tokens of a model cost: a shipped table, changed and extended by the operator."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Self

from pydantic import field_validator

from gateway import logs
from gateway.messages import Usage
from gateway.settings import Environment, Settings

TABLE = Path(__file__).with_name("prices.json")
ENTRY = re.compile(
    r"(?P<model>[^\s=,]+)\s*=\s*(?P<tokens_in>\d{1,9}(\.\d{1,9})?)\s*/\s*(?P<tokens_out>\d{1,9}(\.\d{1,9})?)"
)
ANY = "*"
END_OF_NAME = re.compile(r"[^a-z0-9.]", re.IGNORECASE)
"""What may follow the name of a model in that of a version of it: gpt-5-2025-08-07 is a gpt-5, and gpt-5.1 is none."""
MOST_MISSED = 1000

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens; which makes it the price of one token in millionths."""

    tokens_in: Decimal
    tokens_out: Decimal

    def cost(self, usage: Usage) -> int:
        """In millionths, rounded up."""
        return math.ceil(usage.tokens_in * self.tokens_in + usage.tokens_out * self.tokens_out)


class PriceSettings(Environment):
    prices: str = ""
    """``model=in/out`` per million tokens, with commas: ``gpt-5=1.25/10, my-model=0.2/0.8``; ``*`` for all others."""

    @field_validator("prices")
    @classmethod
    def _readable(cls, prices: str) -> str:
        for entry in _entries(prices):
            if not ENTRY.fullmatch(entry):
                raise ValueError(f"cannot be read at {entry[:60]!r}; write model=in/out, such as gpt-5=1.25/10")
        return prices

    @property
    def own(self) -> Mapping[str, Price]:
        found = (ENTRY.fullmatch(entry) for entry in _entries(self.prices))
        return {each["model"]: _price((each["tokens_in"], each["tokens_out"])) for each in found if each}


@dataclass(frozen=True, slots=True)
class Prices:
    """Whole models by their names: tokens that were read from a cache, and what hosted tools cost, are not told apart.

    So a cost is what the tokens cost at the most, at the rates for prompts of ordinary length.
    """

    table: Mapping[str, Price]
    usual: str = ""
    """The model that is meant where a backend names none."""
    date: str = ""
    """When the shipped table was right."""
    source: str = ""
    _missed: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """The shipped table with the operator's own prices. Raises SettingsError."""
        shipped = json.loads(TABLE.read_text(encoding="utf-8"))
        table = {model: _price(each) for model, each in shipped["models"].items()}
        own = PriceSettings.load().own
        return cls({**table, **own}, settings.openai_model or "", shipped["date"], shipped["source"])

    def of(self, model: str) -> Price | None:
        """By the longest name that the model's begins with; None where there is none."""
        name = model or self.usual
        known = [each for each in self.table if each != ANY and _is_of(name, each)]
        return self.table[max(known, key=len)] if known else self.table.get(ANY)

    def cost(self, model: str, usage: Usage) -> int:
        """In millionths of the prices' currency, rounded up; 0 when no price is known, which is logged once."""
        if not (usage.tokens_in or usage.tokens_out):
            return 0
        price = self.of(model)
        if price is None:
            self._miss(model or self.usual)
            return 0
        return price.cost(usage)

    def _miss(self, model: str) -> None:
        if model not in self._missed and len(self._missed) < MOST_MISSED:
            self._missed.add(model)
            log.warning("no price known, so its turns cost nothing; set PRICES", model=model)


def _entries(prices: str) -> Sequence[str]:
    return [entry.strip() for entry in prices.split(",") if entry.strip()]


def _price(amounts: Sequence[str]) -> Price:
    return Price(*map(Decimal, amounts))


def _is_of(name: str, known: str) -> bool:
    return name == known or (name.startswith(known) and END_OF_NAME.match(name, len(known)) is not None)

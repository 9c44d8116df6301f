"""Prices of a model's tokens: the operator's own, else those of the ``genai-prices`` package. No network."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Self

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from pydantic import field_validator

from gateway import logs
from gateway.domain.models import Usage
from gateway.settings import EnvironmentSettings, Settings
from gateway.settings.values import split_list

SOURCE = f"genai-prices {genai_prices.__version__}"
"""The package has its prices inside; it downloads newer ones only when asked to (github.com/pydantic/genai-prices)."""
PROVIDER = "openai"
SAMPLE_TOKENS = 1000
TRANSCRIBES = "transcribe"
"""In the names of models that read sound, whose tokens cost more than those of text. To others none is sent."""
ENTRY_PATTERN = re.compile(
    r"(?P<model>[^\s=,]+)\s*=\s*(?P<tokens_in>\d{1,9}(\.\d{1,9})?)\s*/\s*(?P<tokens_out>\d{1,9}(\.\d{1,9})?)"
)
WILDCARD = "*"
NAME_BOUNDARY = re.compile(r"[^a-z0-9.]", re.IGNORECASE)
"""What may follow a model's name in the name of its version: gpt-5-2025-08-07 is a gpt-5, and gpt-5.1 is not."""
MAX_MODELS = 1000
"""Model names that are remembered; they come from the backend."""

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a million tokens, which is the price of one token in millionths."""

    input_per_million: Decimal
    output_per_million: Decimal

    def cost(self, usage: Usage) -> int:
        """Returns the cost in millionths, rounded up."""
        return math.ceil(usage.tokens_in * self.input_per_million + usage.tokens_out * self.output_per_million)


class PriceSettings(EnvironmentSettings):
    """Settings of prices."""

    lists: ClassVar[Mapping[str, str]] = {"prices": ","}

    prices: str = ""
    """Prices per million tokens, which come before those of the ``genai-prices`` package: ``model=in/out``,
    comma-separated, such as ``gpt-5=1.25/10, my-model=0.2/0.8``; ``*`` for models without any other price."""

    price_currency: str = "USD"
    """The currency of all prices, costs and budgets, as ISO 4217 names it. Those of ``genai-prices`` are in USD: with
    another one, ``PRICES`` has to have all your models."""

    @field_validator("price_currency")
    @classmethod
    def _check_currency(cls, currency: str) -> str:
        if not re.fullmatch(r"[A-Z]{3}", currency):
            raise ValueError(f"is no currency: {currency[:20]!r}; write three capital letters, such as USD or EUR")
        return currency

    @field_validator("prices")
    @classmethod
    def _check_prices(cls, prices: str) -> str:
        for entry in split_list(prices):
            if not ENTRY_PATTERN.fullmatch(entry):
                raise ValueError(f"cannot be read at {entry[:60]!r}; write model=in/out, such as gpt-5=1.25/10")
        return prices

    @property
    def operator_prices(self) -> Mapping[str, Price]:
        """The operator's prices by model name."""
        found = (ENTRY_PATTERN.fullmatch(entry) for entry in split_list(self.prices))
        return {each["model"]: Price(Decimal(each["tokens_in"]), Decimal(each["tokens_out"])) for each in found if each}


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by model name. Cached input and hosted tools are not priced separately.

    So a cost is the most that the tokens can cost, at the rates for prompts of ordinary length.
    """

    operator_prices: Mapping[str, Price]
    """The operator's, by model name."""
    default_model: str = ""
    """The model that is meant when a backend names none."""
    _logged_models: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, own: PriceSettings, settings: Settings) -> Self:
        """``own``: the operator's. ``settings``: those of the assistant."""
        return cls(own.operator_prices, settings.openai_model or "")

    def price_of(self, model: str) -> Price | None:
        """Returns the price under the longest name that the model's begins with; None when there is none.

        Of names that are equally long the operator's wins.
        """
        name = model or self.default_model
        own = max(
            (each for each in self.operator_prices if each != WILDCARD and _is_version_of(name, each)),
            key=len,
            default="",
        )
        known, price = _packaged_price(name)
        if own and not (len(known) > len(own) and _is_version_of(name, known)):
            return self.operator_prices[own]
        return price or self.operator_prices.get(WILDCARD)

    def cost(self, model: str, usage: Usage) -> int:
        """Returns the cost in millionths of the prices' currency, rounded up; 0 when the model has no price.

        Logs each model without a price once.
        """
        if not (usage.tokens_in or usage.tokens_out):
            return 0
        price = self.price_of(model)
        if price is None:
            self._log_unknown(model or self.default_model)
            return 0
        return price.cost(usage)

    def _log_unknown(self, model: str) -> None:
        if model not in self._logged_models and len(self._logged_models) < MAX_MODELS:
            self._logged_models.add(model)
            log.warning("no price known for a model, so its turns count as free; set PRICES", model=model)


def _load_packaged_prices() -> None:
    """Keeps the prices of one provider in memory, of the package's 40,000 objects about all of them."""
    from genai_prices import data  # noqa: PLC0415  # forgotten again below

    mine = [each for each in data.providers if each.id == PROVIDER]
    set_custom_snapshot(DataSnapshot(mine, from_auto_update=False))
    del genai_prices.data, sys.modules[data.__name__]


# The package would load them at the first turn, while the event loop stands still. Here, and not when the gateway is
# wired: what is freed is used again by the modules that are imported afterwards, 3 MB.
_load_packaged_prices()


@lru_cache(MAX_MODELS)
def _packaged_price(name: str) -> tuple[str, Price | None]:
    """Returns the package's own name for a model and its price; an empty name and None when it does not know it."""
    # Computed for few tokens: a turn may be several requests, so its sum says nothing about rates for long prompts.
    sound = SAMPLE_TOKENS if TRANSCRIBES in name else 0
    sample = genai_prices.Usage(input_tokens=SAMPLE_TOKENS, output_tokens=SAMPLE_TOKENS, input_audio_tokens=sound)
    try:
        found = genai_prices.calc_price(sample, name, provider_id=PROVIDER)
    except LookupError:
        return "", None
    if not (found.input_price or found.output_price):  # what is paid by the minute, or in a way it does not know yet
        return "", None
    scale = Decimal(1_000_000) / SAMPLE_TOKENS
    return found.model.id, Price(found.input_price * scale, found.output_price * scale)


def _is_version_of(name: str, known: str) -> bool:
    return name == known or (name.startswith(known) and NAME_BOUNDARY.match(name, len(known)) is not None)

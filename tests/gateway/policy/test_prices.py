"""Prices of tokens."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import SettingsError
from gateway.domain.models import Usage
from gateway.policy.prices import SOURCE, Price, Prices, PriceSettings
from gateway.settings import Settings
from tests.settings import settings_of

ROOT = Path(__file__).parents[3]
MILLION = Usage(1_000_000, 1_000_000)


def load(monkeypatch: pytest.MonkeyPatch, prices: str = "", **settings: object) -> Prices:
    monkeypatch.setenv("PRICES", prices)
    return Prices.of(PriceSettings.load(), settings_of(Settings, **settings))


def test_prices_are_read_without_a_network() -> None:
    """In a process of its own, where the package is not loaded yet."""
    code = (
        "import socket; socket.socket.connect = socket.getaddrinfo = None\n"
        "from gateway.domain.models import Usage; from gateway.policy.prices import Prices\n"
        "print(Prices({}).cost('gpt-5', Usage(1_000_000, 1_000_000)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("11250000\n", "")


def test_the_source_names_the_package_and_its_version() -> None:
    assert re.fullmatch(r"genai-prices \d+\.\d+\.\d+", SOURCE)


def test_a_model_without_a_name_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, openai_model="gpt-5").cost("", MILLION) == 11_250_000


@pytest.mark.parametrize(
    ("model", "priced_as"),
    [
        ("gpt-5", "gpt-5"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("gpt-5.1-2025-11-13", "gpt-5.1"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
    ],
)
def test_a_version_costs_what_its_model_costs(monkeypatch: pytest.MonkeyPatch, model: str, priced_as: str) -> None:
    prices = load(monkeypatch)
    assert prices.price_of(model) == prices.price_of(priced_as) is not None


@pytest.mark.parametrize("model", ["gpt-5.99", "gpt-50", "llama3", "o33", "", "gpt", "ft:gpt-4o:us", "whisper-1"])
def test_another_model_has_no_price(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    assert load(monkeypatch).price_of(model) is None


def test_a_recording_costs_what_sound_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = load(monkeypatch)
    assert prices.cost("gpt-4o-mini-transcribe", MILLION) == 8_000_000
    assert prices.cost("gpt-4o-mini", MILLION) == 750_000


def test_own_prices_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = load(monkeypatch, "gpt-5 = 1/2, llama3=0.2/0.8 ,ft:gpt-5=3/4,")
    assert prices.cost("gpt-5-2025-08-07", MILLION) == 3_000_000
    assert prices.cost("llama3:8b", MILLION) == 1_000_000
    assert prices.cost("ft:gpt-5:mine", MILLION) == 7_000_000
    assert prices.cost("gpt-5-mini", MILLION) == 2_250_000


def test_an_own_price_of_a_longer_name_wins_over_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = load(monkeypatch, "gpt-5-mini-2025=1/2")
    assert prices.cost("gpt-5-mini-2025-08-07", MILLION) == 3_000_000
    assert prices.cost("gpt-5-mini", MILLION) == 2_250_000


def test_the_rate_does_not_depend_on_how_many_requests_a_turn_made(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = load(monkeypatch)
    once = prices.cost("gpt-5.4", Usage(100_000, 1000))
    assert prices.cost("gpt-5.4", Usage(1_000_000, 10_000)) == 10 * once


def test_a_star_stands_for_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = load(monkeypatch, "*=0/0")
    assert prices.price_of("llama3") == Price(Decimal(0), Decimal(0))
    assert prices.cost("gpt-5", MILLION) == 11_250_000


def test_an_unknown_model_costs_nothing_and_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = load(monkeypatch)
    assert [prices.cost(model, MILLION) for model in ("llama3", "llama3", "qwen")] == [0, 0, 0]
    told = capsys.readouterr()
    assert (told.out + told.err).count("no price known") == 2


def test_a_run_without_tokens_costs_nothing_and_is_no_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load(monkeypatch).cost("", Usage()) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", ["gpt-5", "gpt-5=1", "gpt-5=1/-2", "=1/2", "gpt-5=1/2/3", "gpt-5=1/nan", "a b=1/2"])
def test_prices_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    with pytest.raises(SettingsError, match="PRICES"):
        load(monkeypatch, f"gpt-4o=1/2, {wrong}")


def test_a_cost_is_rounded_up() -> None:
    price = Price(Decimal("0.1"), Decimal("0.5"))
    assert [price.cost(Usage(tokens, 0)) for tokens in (0, 1, 10, 11)] == [0, 1, 1, 2]


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.decimals(0, 1000, places=4), st.decimals(0, 1000, places=4))
def test_a_cost_is_exact_to_the_millionth(tokens_in: int, tokens_out: int, first: Decimal, second: Decimal) -> None:
    exact = tokens_in * first + tokens_out * second
    assert 0 <= Price(first, second).cost(Usage(tokens_in, tokens_out)) - exact < 1

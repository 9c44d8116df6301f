"""The operator's rules: who is answered, budgets and rate limits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import SettingsError
from gateway.domain.models import ConversationKey, Message
from gateway.policy.rules import AdmissionSettings, Pace, Rules, Span, Whose

NEW_YEARS_EVE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def rules(**settings: object) -> Rules:
    return Rules.of(AdmissionSettings(_env_file=None, **settings))  # type: ignore[call-arg,arg-type]  # pydantic's


def said(platform: str = "pigeon", *, author: str = "ann", channel: str = "loft", user: str = "") -> Message:
    return Message(ConversationKey(platform, "roof", channel, "nest", user), "1", "Hello", author)


@pytest.mark.parametrize(
    ("allowed", "answered"),
    [
        ("", True),
        ("pigeon:ann", True),
        ("pigeon:loft", True),
        ("pigeon:roof", True),
        ("pigeon:*", True),
        ("pigeon:bob", False),
        ("pigeon:nest", False),
        ("pigeon:bob, pigeon:ann", True),
        ("raven:bob", True),
    ],
)
def test_who_is_on_the_list_is_answered(allowed: str, *, answered: bool) -> None:
    assert (rules(allowed=allowed).objection(said()) is None) == answered


@pytest.mark.parametrize("blocked", ["pigeon:ann", "pigeon:loft", "pigeon:roof", "pigeon:*", "raven:x, pigeon:ann"])
def test_who_is_blocked_is_not_answered_even_when_allowed(blocked: str) -> None:
    reason = rules(allowed="pigeon:ann", blocked=blocked).objection(said())
    assert reason is not None
    assert reason.startswith("BLOCKED lists pigeon:")


@pytest.mark.parametrize("blocked", ["pigeon:bob", "raven:ann", "raven:*", "pigeon:an", "pigeon:ann:1"])
def test_who_is_not_blocked_is_answered(blocked: str) -> None:
    assert rules(blocked=blocked).objection(said()) is None


def test_a_name_may_have_colons() -> None:
    assert rules(blocked="pigeon:biz:1:2").objection(said(channel="biz:1:2")) is not None


def test_nobody_in_particular_is_on_no_list() -> None:
    assert rules(allowed="pigeon:ann").objection(said(author="")) is not None


@pytest.mark.parametrize("setting", ["allowed", "blocked"])
@pytest.mark.parametrize("listed", ["ann", "pigeon:", ":ann", "pigeon:ann, bob"])
def test_a_list_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, setting: str, listed: str) -> None:
    monkeypatch.setenv(setting.upper(), listed)
    with pytest.raises(SettingsError, match=setting.upper()):
        Rules.load()


# ---------------------------------------------------------------- budgets


def limits_of(listed: str) -> tuple[int | None, int | None]:
    (share,) = rules(budget_user_day=listed).shares(said(), 0.0)
    return share.budget.soft, share.budget.hard


def test_a_budget_has_a_soft_and_a_hard_limit_or_one_of_them() -> None:
    assert limits_of("0.50/1.00") == (500_000, 1_000_000)
    assert limits_of(" 2 ") == (None, 2_000_000)
    assert limits_of("0.000001/") == (1, None)


def test_a_platform_may_have_a_budget_of_its_own() -> None:
    assert limits_of("5, pigeon = 0.5/1, raven=7") == (500_000, 1_000_000)
    assert limits_of("5, raven=7") == (None, 5_000_000)
    assert rules(budget_user_day="raven=7").shares(said(), 0.0) == ()


@pytest.mark.parametrize("whose", Whose)
@pytest.mark.parametrize("span", Span)
def test_each_budget_has_a_setting(monkeypatch: pytest.MonkeyPatch, whose: Whose, span: Span) -> None:
    monkeypatch.setenv(f"BUDGET_{whose}_{span}".upper(), "3")
    (share,) = Rules.load().shares(said(), 0.0)
    assert (share.whose, share.span, share.budget.hard) == (whose, span, 3_000_000)


@pytest.mark.parametrize("wrong", ["x", "-1", "2/1", "/", "1/2/3", "1e3", "slack=", "1.0000001", "1 2", "a=b=1"])
def test_a_budget_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("BUDGET_CHANNEL_MONTH", wrong)
    with pytest.raises(SettingsError, match="BUDGET_CHANNEL_MONTH"):
        Rules.load()


EVERY_BUDGET = {f"budget_{whose}_{span}": "1" for whose in Whose for span in Span}


def test_months_come_before_days() -> None:
    spans = [share.span for share in rules(**EVERY_BUDGET).shares(said(), 0.0)]
    assert spans == [Span.MONTH] * 3 + [Span.DAY] * 3


def test_periods_are_days_and_months_of_utc() -> None:
    shares = rules(**EVERY_BUDGET).shares(said(), NEW_YEARS_EVE)
    assert {(share.budget.period, share.anew) for share in shares} == {
        ("2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
    }
    later = rules(**EVERY_BUDGET).shares(said(), NEW_YEARS_EVE + 1)
    assert {share.budget.period for share in later} == {"2027-01", "2027-01-01"}


def scopes(message: Message, **settings: str) -> set[str]:
    return {share.budget.scope for share in rules(**settings).shares(message, 0.0)}


def test_every_budget_has_a_scope_of_its_own() -> None:
    assert len(scopes(said(), **EVERY_BUDGET)) == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (said(author="a b"), said(author="a", channel="b")),
        (said(author="a"), said(author="b")),
        (said(author="", channel="a"), said(author="a", channel="")),
        (said(author="", channel="a"), said(author="", channel="b")),
        (said("pigeon"), said("raven")),
    ],
)
def test_two_people_share_no_budget(one: Message, other: Message) -> None:
    assert scopes(one, budget_user_day="1").isdisjoint(scopes(other, budget_user_day="1"))


def test_a_person_has_one_budget_in_all_channels() -> None:
    assert scopes(said(channel="a"), budget_user_day="1") == scopes(said(channel="b"), budget_user_day="1")


def test_only_a_persons_turns_run_alone() -> None:
    alone = {share.whose for share in rules(**EVERY_BUDGET).shares(said(), 0.0) if share.budget.alone}
    assert alone == {Whose.USER}
    (soft,) = rules(budget_user_day="1/").shares(said(), 0.0)
    assert not soft.budget.alone


# ---------------------------------------------------------------- rates


def test_a_person_has_the_same_pace_in_all_channels() -> None:
    both = rules(user_turns_per_minute=5, user_turns_per_hour=50)
    assert [pace.most for pace in both.pace(said(channel="a"))] == [5, 50]
    assert both.pace(said(channel="a")) == both.pace(said(channel="b")) != both.pace(said(author="bob"))
    assert rules().pace(said()) == ()


@given(most=st.integers(1, 50), gaps=st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_whoever_begins_has_them_all_and_nobody_has_more_in_the_long_run(most: int, gaps: list[int]) -> None:
    """As in ``Store.take_token``: a token every ``interval`` seconds, of which ``burst`` may be taken in advance."""
    rate = Pace("turns", most, 60.0).rate
    now, following, given_at = 1e6, 0.0, []
    for gap in gaps:
        now += gap / 4
        token_at = max(following, now - (rate.burst - 1) * rate.every)
        if token_at <= now:
            following = token_at + rate.every
            given_at.append(now)
    assert given_at[0] == 1e6 + gaps[0] / 4
    for number, (first, last) in enumerate((given_at[0], at) for at in given_at):
        assert number < most + (last - first) / 60.0 * most + 1e-6

"""The operator's rules: who is answered, budgets and rate limits."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import SettingsError
from gateway.domain.models import ConversationKey, Message
from gateway.policy.rules import AdmissionSettings, BudgetPeriod, BudgetScope, Rules, UserRateLimit
from tests.settings import settings_of

NEW_YEARS_EVE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def rules(**settings: object) -> Rules:
    return Rules.from_settings(settings_of(AdmissionSettings, **settings))


def message(platform: str = "pigeon", *, author: str = "ann", channel: str = "loft", user: str = "") -> Message:
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
    assert (rules(allowed=allowed).denial_reason(message()) is None) == answered


@pytest.mark.parametrize("blocked", ["pigeon:ann", "pigeon:loft", "pigeon:roof", "pigeon:*", "raven:x, pigeon:ann"])
def test_who_is_blocked_is_not_answered_even_when_allowed(blocked: str) -> None:
    reason = rules(allowed="pigeon:ann", blocked=blocked).denial_reason(message())
    assert reason is not None
    assert reason.startswith("BLOCKED lists pigeon:")


@pytest.mark.parametrize("blocked", ["pigeon:bob", "raven:ann", "raven:*", "pigeon:an", "pigeon:ann:1"])
def test_who_is_not_blocked_is_answered(blocked: str) -> None:
    assert rules(blocked=blocked).denial_reason(message()) is None


def test_a_name_may_have_colons() -> None:
    assert rules(blocked="pigeon:biz:1:2").denial_reason(message(channel="biz:1:2")) is not None


@pytest.mark.parametrize("platform", ["pigeon", "pigeon:sales"])
def test_a_list_is_about_people_whichever_bot_they_write_to(platform: str) -> None:
    assert rules(blocked="pigeon:ann").denial_reason(message(platform)) == "BLOCKED lists pigeon:ann"
    assert rules(allowed="pigeon:bob").denial_reason(message(platform)) is not None


def test_each_bot_has_the_budget_of_its_platform_for_itself() -> None:
    kept = rules(budget_platform_day="1, pigeon=0.50/2")
    (one,), (other,) = (kept.applicable_budgets(message(name), 0.0) for name in ("pigeon", "pigeon:sales"))
    assert one.budget.hard_limit == other.budget.hard_limit == 2_000_000
    assert one.budget.scope != other.budget.scope


def test_nobody_in_particular_is_on_no_list() -> None:
    assert rules(allowed="pigeon:ann").denial_reason(message(author="")) is not None


def test_the_authors_own_workspace_is_on_the_lists_too() -> None:
    guest = replace(message(), author_workspace="T9")
    assert rules(blocked="pigeon:T9").denial_reason(guest) == "BLOCKED lists pigeon:T9"
    assert rules(blocked="pigeon:T9").denial_reason(message()) is None
    assert rules(allowed="pigeon:T9").denial_reason(guest) is None


@pytest.mark.parametrize("setting", ["allowed", "blocked"])
@pytest.mark.parametrize("listed", ["ann", "pigeon:", ":ann", "pigeon:ann, bob"])
def test_a_list_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, setting: str, listed: str) -> None:
    monkeypatch.setenv(setting.upper(), listed)
    with pytest.raises(SettingsError, match=setting.upper()):
        Rules.load()


@pytest.mark.parametrize(
    "given",
    [{"ALLOWED": "pijin:ann"}, {"BLOCKED": "*:ann"}, {"BUDGET_USER_DAY": "1, pijin=2"}, {"BUDGET_CALLER_MONTH": "P=2"}],
)
def test_a_platform_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    ((setting, listed),) = given.items()
    monkeypatch.setenv(setting, listed)
    ((named, what),) = AdmissionSettings.load().wrong_platforms(("owl", "pigeon"))
    assert named == setting.lower()
    assert re.fullmatch(r"there is no platform '.*'; write one of owl, pigeon\.", what)
    monkeypatch.setenv(setting, "pigeon:ann" if setting in {"ALLOWED", "BLOCKED"} else "1, owl=2")
    assert AdmissionSettings.load().wrong_platforms(("owl", "pigeon")) == []


# ---------------------------------------------------------------- budgets


def limits_of(listed: str) -> tuple[int | None, int | None]:
    (share,) = rules(budget_user_day=listed).applicable_budgets(message(), 0.0)
    return share.budget.soft_limit, share.budget.hard_limit


def test_a_budget_has_a_soft_and_a_hard_limit_or_one_of_them() -> None:
    assert limits_of("0.50/1.00") == (500_000, 1_000_000)
    assert limits_of(" 2 ") == (None, 2_000_000)
    assert limits_of("0.000001/") == (1, None)


def test_a_platform_may_have_a_budget_of_its_own() -> None:
    assert limits_of("5, pigeon = 0.5/1, raven=7") == (500_000, 1_000_000)
    assert limits_of("5, raven=7") == (None, 5_000_000)
    assert rules(budget_user_day="raven=7").applicable_budgets(message(), 0.0) == ()


@pytest.mark.parametrize("listed", ["1,5", "0,50", "raven=1, 5, raven=2"])
def test_two_budgets_for_the_same_are_refused(listed: str) -> None:
    with pytest.raises(ValueError, match=r"two budgets for the same; write decimals with a point"):
        rules(budget_user_day=listed)


@pytest.mark.parametrize("whose", BudgetScope)
@pytest.mark.parametrize("span", BudgetPeriod)
def test_each_budget_has_a_setting(monkeypatch: pytest.MonkeyPatch, whose: BudgetScope, span: BudgetPeriod) -> None:
    monkeypatch.setenv(f"BUDGET_{whose}_{span}".upper(), "3")
    (share,) = Rules.load().applicable_budgets(replace(message(), caller="key one"), 0.0)
    assert (share.scope, share.period, share.budget.hard_limit) == (whose, span, 3_000_000)


@pytest.mark.parametrize("wrong", ["x", "-1", "2/1", "/", "1/2/3", "1e3", "slack=", "1.0000001", "1 2", "a=b=1"])
def test_a_budget_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("BUDGET_CHANNEL_MONTH", wrong)
    with pytest.raises(SettingsError, match="BUDGET_CHANNEL_MONTH"):
        Rules.load()


EVERY_BUDGET = {f"budget_{whose}_{span}": "1" for whose in BudgetScope for span in BudgetPeriod}


def test_months_come_before_days() -> None:
    shares = rules(**EVERY_BUDGET).applicable_budgets(replace(message(), caller="key one"), 0.0)
    assert [share.period for share in shares] == [BudgetPeriod.MONTH] * 5 + [BudgetPeriod.DAY] * 5


def test_periods_are_days_and_months_of_utc() -> None:
    shares = rules(**EVERY_BUDGET).applicable_budgets(message(), NEW_YEARS_EVE)
    assert {(share.budget.period, share.resets_at) for share in shares} == {
        ("2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
    }
    later = rules(**EVERY_BUDGET).applicable_budgets(message(), NEW_YEARS_EVE + 1)
    assert {share.budget.period for share in later} == {"2027-01", "2027-01-01"}


def scopes(message: Message, **settings: str) -> set[str]:
    return {share.budget.scope for share in rules(**settings).applicable_budgets(message, 0.0)}


def test_every_budget_has_a_scope_of_its_own() -> None:
    assert len(scopes(replace(message(), caller="key one"), **EVERY_BUDGET)) == 10
    assert len(scopes(message(), **EVERY_BUDGET)) == 8  # nobody's word has to be taken for who wrote it


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (message(author="a b"), message(author="a", channel="b")),
        (message(author="a"), message(author="b")),
        (message(author="", channel="a"), message(author="a", channel="")),
        (message(author="", channel="a"), message(author="", channel="b")),
        (message("pigeon"), message("raven")),
    ],
)
def test_two_people_share_no_budget(one: Message, other: Message) -> None:
    assert scopes(one, budget_user_day="1").isdisjoint(scopes(other, budget_user_day="1"))


def test_a_person_has_one_budget_in_all_channels() -> None:
    assert scopes(message(channel="a"), budget_user_day="1") == scopes(message(channel="b"), budget_user_day="1")


def test_only_a_persons_turns_run_alone() -> None:
    alone = {
        share.scope for share in rules(**EVERY_BUDGET).applicable_budgets(message(), 0.0) if share.budget.serialised
    }
    assert alone == {BudgetScope.USER}
    (soft,) = rules(budget_user_day="1/").applicable_budgets(message(), 0.0)
    assert not soft.budget.serialised


def called(author: str, caller: str = "key one", channel: str = "c") -> Message:
    return replace(message(author=author, channel=channel), caller=caller)


@pytest.mark.parametrize("name", ["case", "Case", " case\t", "CASE"])
def test_a_name_that_only_the_caller_vouches_for_is_folded(name: str) -> None:
    limits = {"budget_user_day": "1"}
    assert scopes(called(name), **limits) == scopes(called("case"), **limits)
    assert scopes(message(author="Case"), **limits) != scopes(message(author="case"), **limits)


def test_a_question_that_the_staff_gives_back_is_paid_by_who_asked_it() -> None:
    limits = {"budget_user_day": "1"}
    assert scopes(called("Case", "push staff Eve"), **limits) == scopes(message(author="Case"), **limits)


def test_names_that_look_alike_are_one() -> None:
    composed, decomposed = "Zo\u00eb", "ZOE\u0308"
    assert scopes(called(composed), budget_user_day="1") == scopes(called(decomposed), budget_user_day="1")


def test_a_caller_who_names_no_user_is_one_user_in_all_threads() -> None:
    limits = {"budget_user_day": "1"}
    assert scopes(called("", channel="a"), **limits) == scopes(called("  ", channel="b"), **limits)
    assert scopes(called(""), **limits) != scopes(called("", caller="key two"), **limits)


def test_a_caller_has_a_budget_and_a_rate_whatever_users_it_names() -> None:
    assert scopes(called("ann"), budget_caller_day="1") == scopes(called("bob"), budget_caller_day="1")
    limits = rules(caller_turns_per_minute=5, caller_turns_per_hour=50, user_turns_per_minute=2)
    ann, bob = limits.rate_limits_of(called("ann")), limits.rate_limits_of(called("bob"))
    assert [pace.max_turns for pace in ann] == [2, 5, 50]
    assert (ann[0] != bob[0], ann[1:] == bob[1:]) == (True, True)
    assert limits.rate_limits_of(message()) == limits.rate_limits_of(message())[:1]


# ---------------------------------------------------------------- rates


def test_a_person_has_the_same_pace_in_all_channels() -> None:
    both = rules(user_turns_per_minute=5, user_turns_per_hour=50)
    assert [pace.max_turns for pace in both.rate_limits_of(message(channel="a"))] == [5, 50]
    assert (
        both.rate_limits_of(message(channel="a"))
        == both.rate_limits_of(message(channel="b"))
        != both.rate_limits_of(message(author="bob"))
    )
    assert rules().rate_limits_of(message()) == ()


@given(most=st.integers(1, 50), gaps=st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_whoever_begins_has_them_all_and_nobody_has_more_in_the_long_run(most: int, gaps: list[int]) -> None:
    """As in ``Store.take_token``: a token every ``interval`` seconds, of which ``burst`` may be taken in advance."""
    rate = UserRateLimit("turns", most, 60.0).rate
    now, following, given_at = 1e6, 0.0, []
    for gap in gaps:
        now += gap / 4
        token_at = max(following, now - (rate.burst - 1) * rate.interval)
        if token_at <= now:
            following = token_at + rate.interval
            given_at.append(now)
    assert given_at[0] == 1e6 + gaps[0] / 4
    for number, (first, last) in enumerate((given_at[0], at) for at in given_at):
        assert number < most + (last - first) / 60.0 * most + 1e-6


def test_an_assistants_budget_pays_for_its_turns_wherever_they_are() -> None:
    limits = rules(budget_assistant_day="5, help-desk=1/2")
    (own,) = limits.applicable_budgets(message(), 0.0, "help-desk")
    (other,) = limits.applicable_budgets(message(), 0.0)
    assert (own.budget.soft_limit, own.budget.hard_limit, other.budget.hard_limit) == (1_000_000, 2_000_000, 5_000_000)
    assert own.budget.scope != other.budget.scope
    (elsewhere,) = limits.applicable_budgets(message(channel="b"), 0.0, "help-desk")
    assert elsewhere.budget == own.budget


def test_an_assistant_in_a_budget_that_there_is_not_is_wrong() -> None:
    settings = settings_of(AdmissionSettings, budget_assistant_day="5, supprt=1", budget_platform_day="http=1")
    (wrong,) = settings.wrong_assistants(("default", "support"))
    assert wrong == ("budget_assistant_day", "there is no assistant 'supprt'; write one of default, support.")
    assert settings.wrong_platforms(("http",)) == []

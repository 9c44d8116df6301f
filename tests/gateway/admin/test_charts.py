"""The overview's numbers: percentiles from histograms, plot data, stages of a turn, formatting of numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import operations
from gateway.admin import charts, filters, timeline
from gateway.admin.charts import Window
from gateway.domain.models import ConversationKey, Mark, Message, Step, Turn, TurnId, TurnState
from gateway.ports.reporting import TIMES, Tally
from gateway.ports.store import Depth

GAP = filters.GAP
COUNTS = st.lists(st.integers(0, 50), min_size=len(TIMES) + 1, max_size=len(TIMES) + 1)


def counts(**by_bound: int) -> tuple[int, ...]:
    """Returns a histogram; ``t2=3``: three turns took up to 2 s; ``more``: longer than every bound."""
    found = [by_bound.get(f"t{bound:g}".replace(".", "_"), 0) for bound in TIMES]
    return (*found, by_bound.get("more", 0))


def exact(times: list[float], share: float) -> float:
    return sorted(times)[max(0, -(-int(share * 100) * len(times) // 100) - 1)]


# ---------------------------------------------------------------- percentiles


def test_without_answers_there_is_no_percentile() -> None:
    assert charts.percentile((), 0.5) is None
    assert charts.percentile(counts(), 0.95) is None


@pytest.mark.parametrize(
    ("found", "p50", "p95"),
    [
        (counts(t1=10), 0.75, 0.975),
        (counts(t1=10, t3=10), 1.0, 2.9),
        (counts(t0_1=1), 0.05, 0.095),
        (counts(t2=5, more=5), 2.0, 600.0),
        (counts(more=3), 600.0, 600.0),
    ],
)
def test_a_percentile_is_interpolated_within_its_bucket(found: tuple[int, ...], p50: float, p95: float) -> None:
    assert charts.percentile(found, 0.5) == pytest.approx(p50)
    assert charts.percentile(found, 0.95) == pytest.approx(p95)


@settings(max_examples=30)
@given(COUNTS)
def test_percentiles_never_cross_and_stay_within_the_bounds(found: list[int]) -> None:
    every = [charts.percentile(found, share) for share in (0.01, 0.1, 0.5, 0.9, 0.95, 1.0)]
    known = [value for value in every if value is not None]
    assert len(known) in {0, 6}
    assert all(low <= high for low, high in pairwise(known))
    assert all(0 <= value <= TIMES[-1] for value in known)


@settings(max_examples=30)
@given(st.lists(st.floats(0.001, 599), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_in_the_same_bucket_as_the_exact_one(times: list[float], share: float) -> None:
    found = [sum(low < time <= high for time in times) for low, high in zip((0.0, *TIMES), TIMES, strict=False)]
    right, estimate = exact(times, share), charts.percentile((*found, 0), share)
    assert estimate is not None
    low, high = next((low, high) for low, high in zip((0.0, *TIMES), TIMES, strict=False) if low < right <= high)
    assert low - 1e-9 <= estimate <= high + 1e-9


# ---------------------------------------------------------------- plots


def window() -> Window:
    return Window.up_to(1030.0, 300.0, 60.0)


def test_a_window_has_every_step_up_to_now_and_the_last_one_is_running() -> None:
    assert window().at == [780.0, 840.0, 900.0, 960.0, 1020.0]
    assert window().since == 780.0
    assert [window().elapsed(at) for at in (960.0, 1020.0)] == [60.0, 10.0]


def test_a_step_that_has_just_begun_makes_no_peak_of_one_turn() -> None:
    barely = Window.up_to(1020.5, 300.0, 60.0)
    plot = charts.rate(barely, [Tally("fake", 1020.0, received=1)])
    assert plot.series[0].values[-1] == 10.0


def test_turns_per_minute_are_counted_for_each_platform_and_step() -> None:
    tallies = [Tally("b", 840.0, received=6), Tally("a", 960.0, received=3), Tally("a", 1020.0, received=1)]
    plot = charts.rate(window(), tallies)
    assert {series.name: series.values for series in plot.series} == {"a": [0, 0, 0, 3, 6], "b": [0, 6, 0, 0, 0]}
    assert [at for at, _ in plot.rows] == [1020.0, 960.0, 840.0]


def test_the_time_to_answer_counts_all_platforms_and_has_gaps() -> None:
    tallies = [Tally("a", 840.0, times=counts(t1=10)), Tally("b", 840.0, times=counts(t3=10)), Tally("a", 900.0)]
    p50, p95 = charts.answer_time(window(), tallies).series
    assert p50.values == [None, 1.0, None, None, None]
    assert p95.values[1] == pytest.approx(2.9)


def test_failures_are_counted_by_reason_the_most_frequent_first() -> None:
    tallies = [
        Tally("a", 840.0, failures={"rare": 1, "often": 2}),
        Tally("b", 840.0, failures={"often": 1}),
        Tally("a", 960.0, failures={"often": 1}),
    ]
    often, rare = charts.failures(window(), tallies).series
    assert (often.name, often.values) == ("often", [0, 3, 0, 1, 0])
    assert (rare.name, rare.values) == ("rare", [0, 1, 0, 0, 0])
    assert charts.totals(tallies).failed == 5


def test_days_show_tokens_and_cost_of_each_platform() -> None:
    days = Window.up_to(5 * charts.DAY + 7, 2 * charts.DAY, charts.DAY)
    tallies = [Tally("a", 5 * charts.DAY, tokens_in=10, tokens_out=5, cost=2_500_000)]
    assert charts.tokens(days, tallies).series[0].values == [0, 15]
    assert charts.cost(days, tallies).series[0].values == [0, 2.5]


def test_the_queue_shows_every_platform_and_how_old_it_is() -> None:
    plot = charts.queue(1000.0, [Depth("a", 3, 12.34), Depth("gone", 1, 50.0)], ("a", "b"))
    assert {series.name: series.values for series in plot.series} == {"a": [3], "b": [0], "gone": [1], "oldest": [50.0]}


def test_a_gateway_without_turns_has_empty_plots() -> None:
    totals = charts.totals([])
    assert (totals.received, totals.failed, totals.p50) == (0, 0, None)
    assert charts.answer_time(window(), []).rows == []
    assert charts.failures(window(), []).rows == []


# ---------------------------------------------------------------- stages of a turn


def turn(state: TurnState = TurnState.DELIVERED, **more: object) -> Turn:
    message = Message(ConversationKey("fake"), "m1", "hi")
    times: dict[str, object] = {"received_at": 100.0, "started_at": 101.0, "answered_at": 104.0, "delivered_at": 104.5}
    return Turn(TurnId("turn_1"), 1, 1, message, state, **(times | more))  # type: ignore[arg-type]  # fields of a turn


def test_a_turn_that_was_retried_is_not_retried_again() -> None:
    failed = replace(turn(TurnState.FAILED), trail=(Step(200.0, Mark.RETRIED, "turn_2"),))
    assert timeline.retried_as(failed) == "turn_2"
    assert not operations.retriable(failed)


def test_stages_share_the_whole_time() -> None:
    waiting, running, delivering = timeline.stages(turn())
    assert (waiting.name, waiting.seconds, waiting.begin) == ("waiting", 1.0, 0.0)
    assert (running.seconds, delivering.seconds) == (3.0, 0.5)
    assert waiting.share + running.share + delivering.share == pytest.approx(1.0)
    assert timeline.stages(turn(TurnState.QUEUED, started_at=None, answered_at=None, delivered_at=None)) == []


def test_only_failed_turns_that_are_not_erased_can_be_retried() -> None:
    fates = {state: operations.retriable(turn(state)) for state in TurnState}
    assert {state for state, may in fates.items() if may} == {TurnState.FAILED, TurnState.CANCELLED}
    assert not operations.retriable(turn(TurnState.FAILED, erased_at=5.0))


# ---------------------------------------------------------------- formatting


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, filters.NONE), (0.0, "0_ms"), (0.0421, "42_ms"), (1.0, "1_s"), (12.345, "12.3_s"), (59.99, "60_s"),
     (60.0, "1_min"), (200.0, "3_min 20_s"), (7500.0, "2_h 5_min"), (273_600.0, "3_d 4_h")],
)  # fmt: skip
def test_durations_are_written_in_their_largest_units(seconds: float | None, written: str) -> None:
    assert filters.duration(seconds) == written.replace("_", GAP)


@pytest.mark.parametrize(
    ("millionths", "written"),
    [
        (0, "0.00"),
        (1_234_567, "1.23"),
        (12_345_678_901, "12_345.68"),
        (123_456, "0.12"),
        (12_345, "0.012"),
        (7, "0.000007"),
    ],
)
def test_a_small_amount_of_money_is_never_written_as_zero(millionths: int, written: str) -> None:
    assert filters.money(millionths) == written.replace("_", GAP)


def test_numbers_are_written_in_their_units() -> None:
    assert filters.count(1_234_567) == f"1{GAP}234{GAP}567"
    assert filters.share(1, 3) == f"33.3{GAP}%"
    assert filters.share(0, 0) == filters.amount(None, "s") == filters.NONE
    assert filters.amount(0.25, "per minute") == "0.25"
    assert filters.amount(0.25, "cost") == "0.25"
    assert filters.amount(90.0, "s") == f"1{GAP}min 30{GAP}s"
    assert filters.clock(0.0) == "1970-01-01 00:00:00"

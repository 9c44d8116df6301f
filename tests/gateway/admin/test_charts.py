"""The overview's numbers: percentiles from histograms, plot data, stages of a turn, formatting of numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import operations
from gateway.admin import filters
from gateway.admin.pages import charts, timeline
from gateway.admin.pages.charts import Window
from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.ports.reporting import LATENCY_BOUNDS, UsageBucket
from gateway.ports.store import QueueDepth
from gateway.ports.turn_log import FIRST_WORDS, TOOL_CALLED, TOOL_RETURNED, TurnLogLine

NARROW_SPACE = filters.NARROW_SPACE
TIME_COUNTS = st.lists(st.integers(0, 50), min_size=len(LATENCY_BOUNDS) + 1, max_size=len(LATENCY_BOUNDS) + 1)


def time_counts(**by_bound: int) -> tuple[int, ...]:
    """Returns a histogram; ``t2=3``: three turns took up to 2 s; ``more``: longer than every bound."""
    found = [by_bound.get(f"t{bound:g}".replace(".", "_"), 0) for bound in LATENCY_BOUNDS]
    return (*found, by_bound.get("more", 0))


def exact_percentile(times: list[float], fraction: float) -> float:
    return sorted(times)[max(0, -(-int(fraction * 100) * len(times) // 100) - 1)]


# ---------------------------------------------------------------- percentiles


def test_without_answers_there_is_no_percentile() -> None:
    assert charts.percentile((), 0.5) is None
    assert charts.percentile(time_counts(), 0.95) is None


@pytest.mark.parametrize(
    ("found", "p50", "p95"),
    [
        (time_counts(t1=10), 0.75, 0.975),
        (time_counts(t1=10, t3=10), 1.0, 2.9),
        (time_counts(t0_1=1), 0.05, 0.095),
        (time_counts(t2=5, more=5), 2.0, 600.0),
        (time_counts(more=3), 600.0, 600.0),
    ],
)
def test_a_percentile_is_interpolated_within_its_bucket(found: tuple[int, ...], p50: float, p95: float) -> None:
    assert charts.percentile(found, 0.5) == pytest.approx(p50)
    assert charts.percentile(found, 0.95) == pytest.approx(p95)


@given(TIME_COUNTS)
def test_percentiles_never_cross_and_stay_within_the_bounds(found: list[int]) -> None:
    every = [charts.percentile(found, share) for share in (0.01, 0.1, 0.5, 0.9, 0.95, 1.0)]
    known = [value for value in every if value is not None]
    assert len(known) in {0, 6}
    assert all(low <= high for low, high in pairwise(known))
    assert all(0 <= value <= LATENCY_BOUNDS[-1] for value in known)


@given(st.lists(st.floats(0.001, 599), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_in_the_same_bucket_as_the_exact_one(times: list[float], share: float) -> None:
    found = [
        sum(low < time <= high for time in times)
        for low, high in zip((0.0, *LATENCY_BOUNDS), LATENCY_BOUNDS, strict=False)
    ]
    right, estimate = exact_percentile(times, share), charts.percentile((*found, 0), share)
    assert estimate is not None
    low, high = next(
        (low, high) for low, high in zip((0.0, *LATENCY_BOUNDS), LATENCY_BOUNDS, strict=False) if low < right <= high
    )
    assert low - 1e-9 <= estimate <= high + 1e-9


# ---------------------------------------------------------------- plots


def example_window() -> Window:
    return Window.up_to(1030.0, 300.0, 60.0)


def test_a_window_has_every_step_up_to_now_and_the_last_one_is_running() -> None:
    assert example_window().at == [780.0, 840.0, 900.0, 960.0, 1020.0]
    assert example_window().since == 780.0
    assert [example_window().elapsed(at) for at in (960.0, 1020.0)] == [60.0, 30.0]


def test_a_plot_begins_shortly_before_the_first_turn() -> None:
    window = example_window()
    first = [UsageBucket("fake", 960.0, received=1), UsageBucket("fake", 1020.0, received=1)]
    assert window.from_first(first, 1).at == [900.0, 960.0, 1020.0]
    assert window.from_first(first, 4).at == window.at[1:]
    assert window.from_first(first, 9) == window
    assert window.from_first([UsageBucket("fake", 780.0)], 1) == window
    assert window.from_first([], 2).at == window.at[-2:]


def test_a_step_that_has_just_begun_makes_no_peak_of_one_turn() -> None:
    barely = Window.up_to(1020.5, 300.0, 60.0)
    plot = charts.rate(barely, [UsageBucket("fake", 1020.0, received=1)])
    assert plot.series[0].values[-1] == 2.0


def test_turns_per_minute_are_counted_for_each_platform_and_step() -> None:
    tallies = [
        UsageBucket("b", 840.0, received=6),
        UsageBucket("a", 960.0, received=3),
        UsageBucket("a", 1020.0, received=1),
    ]
    plot = charts.rate(example_window(), tallies)
    assert {series.name: series.values for series in plot.series} == {"a": [0, 0, 0, 3, 2], "b": [0, 6, 0, 0, 0]}
    assert [at for at, _ in plot.rows] == [1020.0, 960.0, 840.0]


def test_the_time_to_answer_counts_all_platforms_and_has_gaps() -> None:
    tallies = [
        UsageBucket("a", 840.0, latency_counts=time_counts(t1=10)),
        UsageBucket("b", 840.0, latency_counts=time_counts(t3=10)),
        UsageBucket("a", 900.0),
    ]
    p50, p95 = charts.answer_time(example_window(), tallies).series
    assert p50.values == [None, 1.0, None, None, None]
    assert p95.values[1] == pytest.approx(2.9)


def test_failures_are_counted_by_reason_the_most_frequent_first() -> None:
    tallies = [
        UsageBucket("a", 840.0, failures={"rare": 1, "often": 2}),
        UsageBucket("b", 840.0, failures={"often": 1}),
        UsageBucket("a", 960.0, failures={"often": 1}),
    ]
    often, rare = charts.failures(example_window(), tallies).series
    assert (often.name, often.values) == ("often", [0, 3, 0, 1, 0])
    assert (rare.name, rare.values) == ("rare", [0, 1, 0, 0, 0])
    assert charts.totals(tallies).failed == 5


def test_days_show_tokens_and_cost_of_each_platform() -> None:
    days = Window.up_to(5 * charts.DAY + 7, 2 * charts.DAY, charts.DAY)
    tallies = [UsageBucket("a", 5 * charts.DAY, tokens_in=10, tokens_out=5, cost=2_500_000)]
    assert charts.tokens(days, tallies).series[0].values == [0, 15]
    assert charts.cost(days, tallies).series[0].values == [0, 2.5]


def test_the_queue_shows_every_platform_and_how_old_it_is() -> None:
    plot = charts.queue(1000.0, [QueueDepth("a", 3, 12.34), QueueDepth("gone", 1, 50.0)], ("a", "b"))
    assert {series.name: series.values for series in plot.series} == {"a": [3], "b": [0], "gone": [1], "oldest": [50.0]}


def test_a_gateway_without_turns_has_empty_plots() -> None:
    totals = charts.totals([])
    assert (totals.received, totals.failed, totals.p50) == (0, 0, None)
    assert charts.answer_time(example_window(), []).rows == []
    assert charts.failures(example_window(), []).rows == []


# ---------------------------------------------------------------- stages of a turn


def new_turn(state: TurnState = TurnState.DELIVERED, **more: object) -> Turn:
    message = Message(ConversationKey("fake"), "m1", "hi")
    times: dict[str, object] = {"received_at": 100.0, "started_at": 101.0, "answered_at": 104.0, "delivered_at": 104.5}
    return Turn(TurnId("turn_1"), 1, 1, message, state, **(times | more))  # type: ignore[arg-type]  # fields of a turn


def test_a_turn_that_was_retried_is_not_retried_again() -> None:
    failed = replace(new_turn(TurnState.FAILED), audit_log=(AuditEntry(200.0, AuditEvent.RETRIED_AS, "turn_2"),))
    assert timeline.retried_as(failed) == "turn_2"
    assert not operations.is_retriable(failed)


def test_stages_share_the_whole_time() -> None:
    waiting, running, delivering = timeline.stages(new_turn())
    assert (waiting.name, waiting.seconds, waiting.begin) == ("waiting", 1.0, 0.0)
    assert (running.seconds, delivering.seconds) == (3.0, 0.5)
    assert waiting.share + running.share + delivering.share == pytest.approx(1.0)
    assert timeline.stages(new_turn(TurnState.QUEUED, started_at=None, answered_at=None, delivered_at=None)) == []


def test_spans_tell_where_the_time_went() -> None:
    audit_log = (
        AuditEntry(100.0, AuditEvent.RECEIVED, "web:1"),
        AuditEntry(101.0, AuditEvent.CLAIMED, "worker:1"),
        AuditEntry(101.5, AuditEvent.RUN_STARTED, "run_1"),
    )
    lines = [
        TurnLogLine(TurnId("turn_1"), at, "p", "debug", "l", event, fields)
        for at, event, fields in (
            (102.0, TOOL_CALLED, {"tool": "weather", "call": "c1"}),
            (102.25, TOOL_CALLED, {"tool": "clock", "call": "c2"}),
            (103.0, TOOL_RETURNED, {"tool": "weather", "call": "c1"}),
            (103.5, FIRST_WORDS, {}),
            (103.6, "something else", {}),
        )
    ]
    found = timeline.spans(new_turn(audit_log=audit_log), lines, 999.0)
    assert [(each.name, each.detail, each.after, each.seconds, each.is_inner) for each in found] == [
        ("queued", "web:1", 0.0, 1.0, False),
        ("claimed", "worker:1", 1.0, 0.5, False),
        ("until the first words", "", 1.0, 2.5, True),
        ("run", "run_1", 1.5, 2.5, False),
        ("tool", "weather", 2.0, 1.0, True),
        ("tool", "clock", 2.25, 1.75, True),
        ("delivery", "", 4.0, 0.5, False),
    ]
    assert all(each.begin + each.share <= 1.0 + 1e-9 and not each.is_open for each in found)


def test_spans_of_a_turn_that_goes_on_end_now() -> None:
    audit_log = (AuditEntry(101.0, AuditEvent.CLAIMED, "w:1"), AuditEntry(102.0, AuditEvent.RUN_STARTED, "run_1"))
    running = new_turn(TurnState.RUNNING, answered_at=None, delivered_at=None, audit_log=audit_log)
    *_, run = timeline.spans(running, [], 112.0)
    assert (run.name, run.seconds, run.is_open) == ("run", 10.0, True)
    (queued,) = timeline.spans(
        new_turn(TurnState.QUEUED, started_at=None, answered_at=None, delivered_at=None), [], 105.0
    )
    assert (queued.name, queued.seconds, queued.share, queued.is_open) == ("queued", 5.0, 1.0, True)
    answered = new_turn(TurnState.ANSWERED, delivered_at=None)
    assert [(each.name, each.is_open) for each in timeline.spans(answered, [], 110.0)][-1] == ("delivery", True)


def test_only_failed_turns_that_are_not_erased_can_be_retried() -> None:
    fates = {state: operations.is_retriable(new_turn(state)) for state in TurnState}
    assert {state for state, may in fates.items() if may} == {TurnState.FAILED, TurnState.CANCELLED}
    assert not operations.is_retriable(new_turn(TurnState.FAILED, erased_at=5.0))


# ---------------------------------------------------------------- formatting


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, filters.NO_VALUE), (0.0, "0_ms"), (0.0421, "42_ms"), (1.0, "1_s"), (12.345, "12.3_s"), (59.99, "60_s"),
     (60.0, "1_min"), (200.0, "3_min 20_s"), (7500.0, "2_h 5_min"), (273_600.0, "3_d 4_h")],
)  # fmt: skip
def test_durations_are_written_in_their_largest_units(seconds: float | None, written: str) -> None:
    assert filters.duration(seconds) == written.replace("_", NARROW_SPACE)


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
    assert filters.written_money(millionths, "CHF").removeprefix(f"CHF{NARROW_SPACE}") == written.replace(
        "_", NARROW_SPACE
    )


def test_numbers_are_written_in_their_units() -> None:
    assert filters.count(1_234_567) == f"1{NARROW_SPACE}234{NARROW_SPACE}567"
    assert filters.share(1, 3) == f"33.3{NARROW_SPACE}%"
    assert filters.share(0, 0) == filters.written_amount(None, "s", "USD") == filters.NO_VALUE
    assert filters.written_amount(0.25, "per minute", "USD") == "0.25"
    assert filters.written_amount(0.25, "cost", "EUR") == "€0.25"
    assert filters.written_amount(90.0, "s", "USD") == f"1{NARROW_SPACE}min 30{NARROW_SPACE}s"
    assert filters.clock(0.0) == "1970-01-01 00:00:00"

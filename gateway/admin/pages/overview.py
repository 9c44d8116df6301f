"""The overview page: traffic, time to answer, failures, queue, tokens and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import flask

from gateway.admin import filters
from gateway.admin.context import AdminContext
from gateway.admin.pages import approvals, charts
from gateway.admin.pages.charts import DAY, TIME_RANGES, Plot, TimeRange, Totals, Window
from gateway.admin.ttl_cache import TtlCache
from gateway.ports.reporting import UsageBucket
from gateway.ports.store import QueueDepth

DEFAULT_RANGE, SHORT_RANGE = "24h", "1h"
MIN_STEPS = 12
"""That a plot shows at least, if the range began with nothing."""
MIN_DAYS = 7
DAYS_TTL_SECONDS = 60.0
"""Seconds for which the numbers of whole days are cached."""
QUEUE_TTL_SECONDS = 2.0
TTL_FRACTION = 0.8
"""Fraction of a page's refresh interval for which its numbers are cached for other pages."""

WindowBuckets = tuple[Window, Sequence[UsageBucket]]
PlatformRow = TypeVar("PlatformRow", UsageBucket, QueueDepth)


@dataclass(frozen=True, slots=True)
class PlatformTotals:
    """The numbers of one platform."""

    platform: str
    totals: Totals
    waiting: int
    oldest: float


class OverviewPage:
    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._bucket_cache: TtlCache[WindowBuckets] = TtlCache()
        self._depth_cache: TtlCache[Sequence[QueueDepth]] = TtlCache()

    def show(self) -> str:
        span = TIME_RANGES.get(flask.request.args.get("span", "")) or self._default_range()
        platform = flask.request.args.get("platform", "")
        window, every = self._buckets_of(span)
        days, daily = self._daily_buckets(span)
        depths = _of_platform(
            platform, self._depth_cache.get("all", QUEUE_TTL_SECONDS, self._context.store.queue_depths)
        )
        tallies = _of_platform(platform, every)
        platforms = sorted({*self._context.platforms, *(tally.platform for tally in every)})
        chosen = [platform] if platform else platforms
        plots = _plots(
            *(window.from_first(tallies, MIN_STEPS), tallies, depths, chosen),
            *(days.from_first(daily, MIN_DAYS), _of_platform(platform, daily)),
        )
        return flask.render_template(
            "admin/overview.html",
            spans=TIME_RANGES.values(),
            span=span,
            platform=platform,
            platforms=platforms,
            now=window.now,
            totals=charts.totals(tallies),
            minutes=(window.now - window.since) / 60,
            shares=[_platform_totals(each, tallies, depths) for each in chosen],
            waiting=sum(depth.unfinished for depth in depths),
            parked=sum(sum(depth.parked.values()) for depth in depths),
            oldest=max((depth.oldest_age_seconds for depth in depths), default=0.0),
            approvals=approvals.waiting(self._context, platform),
            plots=plots,
            drawn=[asdict(plot) for plot in plots],
            currency=filters.symbol_of(self._context.currency),
        )

    def _default_range(self) -> TimeRange:
        """Returns the last day; the last hour, if nothing happened before: a gateway that is new, or hardly used."""
        window, every = self._buckets_of(TIME_RANGES[DEFAULT_RANGE])
        hour = TIME_RANGES[SHORT_RANGE]
        is_recent = every and min(tally.start for tally in every) + window.step > window.now - hour.length
        return hour if is_recent else TIME_RANGES[DEFAULT_RANGE]

    def _buckets_of(self, time_range: TimeRange) -> WindowBuckets:
        return self._bucket_cache.get(
            time_range.name,
            TTL_FRACTION * time_range.refresh,
            lambda: self._load_buckets(time_range.length, time_range.step),
        )

    def _daily_buckets(self, time_range: TimeRange) -> WindowBuckets:
        length = max(time_range.length, MIN_DAYS * DAY)
        return self._bucket_cache.get(f"days {length}", DAYS_TTL_SECONDS, lambda: self._load_buckets(length, DAY))

    def _load_buckets(self, length: float, step: float) -> WindowBuckets:
        window = Window.up_to(self._context.store.now(), length, step)
        return window, self._context.store.usage_buckets(window.since, window.now, bucket_seconds=step)


def _plots(
    window: Window,
    buckets: Sequence[UsageBucket],
    depths: Sequence[QueueDepth],
    platforms: Sequence[str],
    days: Window,
    daily: Sequence[UsageBucket],
) -> Sequence[Plot]:
    return (
        charts.rate(window, buckets),
        charts.answer_time(window, buckets),
        charts.failures(window, buckets),
        charts.queue(window.now, depths, platforms),
        charts.tokens(days, daily),
        charts.cost(days, daily),
    )


def _platform_totals(platform: str, buckets: Sequence[UsageBucket], depths: Sequence[QueueDepth]) -> PlatformTotals:
    waiting = [depth for depth in depths if depth.platform == platform]
    unfinished = sum(depth.unfinished for depth in waiting)
    oldest = max((depth.oldest_age_seconds for depth in waiting), default=0.0)
    return PlatformTotals(platform, charts.totals(_of_platform(platform, buckets)), unfinished, oldest)


def _of_platform(platform: str, rows: Sequence[PlatformRow]) -> Sequence[PlatformRow]:
    return [each for each in rows if each.platform == platform] if platform else rows


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    blueprint.add_url_rule("", "overview", OverviewPage(context).show, strict_slashes=False)

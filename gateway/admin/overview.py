"""The overview page: traffic, time to answer, failures, queue, tokens and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import flask

from gateway.admin import charts
from gateway.admin.charts import DAY, SPANS, Plot, Span, Totals, Window
from gateway.admin.context import Desk
from gateway.admin.ttl_cache import Kept
from gateway.ports.reporting import Tally
from gateway.ports.store import Depth

DEFAULT = "24h"
LEAST_DAYS = 7
DAYS_REFRESH = 60.0
"""Seconds for which the numbers of whole days are cached."""
QUEUE_REFRESH = 2.0
FRESH = 0.8
"""Fraction of a page's refresh interval for which its numbers are cached for other pages."""

Counted = tuple[Window, Sequence[Tally]]
Each = TypeVar("Each", Tally, Depth)


@dataclass(frozen=True, slots=True)
class Share:
    """The numbers of one platform."""

    platform: str
    totals: Totals
    waiting: int
    oldest: float


class Overview:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tallies: Kept[Counted] = Kept()
        self._depths: Kept[Sequence[Depth]] = Kept()

    def show(self) -> str:
        span = SPANS.get(flask.request.args.get("span", ""), SPANS[DEFAULT])
        platform = flask.request.args.get("platform", "")
        window, every = self._counted(span)
        days, daily = self._daily(span)
        depths = _only(platform, self._depths.get("all", QUEUE_REFRESH, self._desk.store.depths))
        tallies = _only(platform, every)
        platforms = sorted({*self._desk.platforms, *(tally.platform for tally in every)})
        chosen = [platform] if platform else platforms
        plots = _plots(window, tallies, depths, chosen, days, _only(platform, daily))
        return flask.render_template(
            "admin/overview.html",
            spans=SPANS.values(),
            span=span,
            platform=platform,
            platforms=platforms,
            now=window.now,
            totals=charts.totals(tallies),
            minutes=(window.now - window.since) / 60,
            shares=[_share(each, tallies, depths) for each in chosen],
            waiting=sum(depth.turns for depth in depths),
            oldest=max((depth.age for depth in depths), default=0.0),
            plots=plots,
            drawn=[asdict(plot) for plot in plots],
        )

    def _counted(self, span: Span) -> Counted:
        return self._tallies.get(span.name, FRESH * span.refresh, lambda: self._count(span.length, span.step))

    def _daily(self, span: Span) -> Counted:
        length = max(span.length, LEAST_DAYS * DAY)
        return self._tallies.get(f"days {length}", DAYS_REFRESH, lambda: self._count(length, DAY))

    def _count(self, length: float, step: float) -> Counted:
        window = Window.up_to(self._desk.catalogue.now(), length, step)
        return window, self._desk.catalogue.tally(window.since, window.now, span=step)


def _plots(
    window: Window,
    tallies: Sequence[Tally],
    depths: Sequence[Depth],
    platforms: Sequence[str],
    days: Window,
    daily: Sequence[Tally],
) -> Sequence[Plot]:
    return (
        charts.rate(window, tallies),
        charts.answer_time(window, tallies),
        charts.failures(window, tallies),
        charts.queue(window.now, depths, platforms),
        charts.tokens(days, daily),
        charts.cost(days, daily),
    )


def _share(platform: str, tallies: Sequence[Tally], depths: Sequence[Depth]) -> Share:
    waiting = [depth for depth in depths if depth.platform == platform]
    turns, oldest = sum(depth.turns for depth in waiting), max((depth.age for depth in waiting), default=0.0)
    return Share(platform, charts.totals(_only(platform, tallies)), turns, oldest)


def _only(platform: str, found: Sequence[Each]) -> Sequence[Each]:
    return [each for each in found if each.platform == platform] if platform else found


def add_routes(blueprint: flask.Blueprint, desk: Desk) -> None:
    blueprint.add_url_rule("", "overview", Overview(desk).show, strict_slashes=False)

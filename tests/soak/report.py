"""Builds the table that a soak test prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.table import Table

from tests.bench.measurements import median, p99
from tests.soak.soak import WARM_UP_SECONDS, ResourceSample, SoakResult

SAMPLE_COUNT = 5
"""Number of memory samples whose median is shown, and of markers whose turn history is printed."""

Row = tuple[str, str]


def table_of(outcome: SoakResult, footer: str) -> Table:
    """Returns one row for each result, under headings; ``footer``: how the test was run."""
    table = Table(caption=footer, caption_justify="left", caption_style="", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for heading, rows in _sections(outcome):
        table.add_section()
        table.add_row(f"[bold]{heading}[/]", "")
        for name, value in rows:
            table.add_row(f"  {name}", value)
    return table


def _sections(outcome: SoakResult) -> Iterator[tuple[str, Iterator[Row]]]:
    yield "Must be 0", _violations(outcome)
    yield "Disruptions", _disruptions(outcome)
    yield "Speed", _speed(outcome)
    yield "Resources", _resources(outcome)


def _violations(outcome: SoakResult) -> Iterator[Row]:
    counted = {
        **{name: len(marks) for name, marks in outcome.counts.violations.items()},
        "unfinished at the end": outcome.unfinished,
        **{f"failed: {code}": times for code, times in outcome.failures.items()},
        **outcome.surprises,
    }
    for name, times in counted.items():
        yield name, f"[bold red]{times}[/]" if times else "0"


def histories_of(outcome: SoakResult) -> Iterator[str]:
    """Yields the turn history of the first messages of each kind of error."""
    kinds = {**outcome.counts.violations, "repeated with a label": outcome.counts.labelled}
    for name, marks in kinds.items():
        yield from (f"{name}: {mark}: {outcome.database.turn_history(mark)}" for mark in marks[:SAMPLE_COUNT])


def _disruptions(outcome: SoakResult) -> Iterator[Row]:
    for kind, times in Counter(blow.kind for blow in outcome.disruptions).most_common():
        yield kind, str(times)
    yield "claimed turns at kills", str(sum(len(blow.orphaned_turns) for blow in outcome.disruptions))
    yield "runs executed again", str(outcome.runs - outcome.counts.messages)
    yield "replies repeated with a label", str(len(outcome.counts.labelled))
    for why, times in outcome.log.retries.most_common():
        yield f"/chat retried: {why}", str(times)


def _speed(outcome: SoakResult) -> Iterator[Row]:
    yield "messages", str(outcome.counts.messages)
    yield "turns a second", f"{outcome.counts.messages / outcome.load_seconds:.1f}"
    for platform, seconds in sorted(outcome.answer_seconds.items()):
        yield f"{platform}: s to the reply, median / p99 / max", _spread(seconds)
    yield (
        "s from a kill to the last orphaned turn's reply, median / max",
        _spread(outcome.recovery_seconds, with_p99=False),
    )
    yield "s from the end of the load to an empty queue", f"{outcome.settle_seconds:.1f}"


def _spread(seconds: Sequence[float], *, with_p99: bool = True) -> str:
    if not seconds:
        return "-"
    figures = [median(seconds), *([p99(seconds)] if with_p99 else []), max(seconds)]
    return " / ".join(f"{figure:.2f}" for figure in figures)


def _resources(outcome: SoakResult) -> Iterator[Row]:
    warm = [one for one in outcome.samples if one.seconds >= WARM_UP_SECONDS] or outcome.samples
    name = "MB (RSS) of the undisturbed process"
    yield (
        f"{name}, at the start / at the end / max",
        " / ".join(
            f"{mb:.0f}"
            for mb in (_memory(warm[:SAMPLE_COUNT]), _memory(warm[-SAMPLE_COUNT:]), max(one.rss_mb for one in warm))
        ),
    )
    yield "MB of the database", f"{outcome.database_mb:.0f}"
    yield "database connections, max", str(max(one.connections for one in outcome.samples))


def _memory(samples: Sequence[ResourceSample]) -> float:
    return median([one.rss_mb for one in samples])

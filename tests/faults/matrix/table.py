"""Renders the results: a table of faults by steps for each platform, or one Markdown table over all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from tests.faults.matrix.cell_scenario import Outcome
from tests.faults.matrix.plan import Fault, Step
from tests.faults.matrix.scoring import NOTHING

NAMES = {
    Step.BEFORE_RECORD: "before enqueue",
    Step.AFTER_RECORD: "enqueued",
    Step.AFTER_CLAIM: "claimed",
    Step.THREAD_OPENED: "thread created",
    Step.RUN_POSTED: "run requested",
    Step.RUN_STARTED: "run id stored",
    Step.STREAMING: "streaming",
    Step.BEFORE_SETTLED: "run completed",
    Step.AFTER_SETTLED: "outcome stored",
    Step.DELIVERING: "reply posted",
    Step.AFTER_BROUGHT: "posted messages saved",
    Step.BEFORE_FINISHED: "before finish",
    Step.AFTER_FINISHED: "finished",
}
LEGEND = (
    "0: nothing lost, repeated, reordered or in the wrong place. "
    "+1: repeated, with a label that says so, on a platform that cannot be searched. "
    "L lost, R repeated, O out of order, M in the wrong place, X not run to its end. ·: not run, or not possible.\n"
    "The fault is injected at this step of a turn: "
    + ", ".join(f"{number} {name}" for number, name in enumerate(NAMES.values(), 1))
    + "."
)


def table_of(platform: str, outcomes: Sequence[Outcome]) -> Table:
    table = Table(title=platform, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for number, _ in enumerate(Step, 1):
        table.add_column(str(number), justify="center", no_wrap=True)
    for fault in Fault:
        cells = [_counts(_of(outcomes, fault, step)) for step in Step]
        table.add_row(fault.value, *(_coloured(cell) for cell in cells))
    return table


def markdown(outcomes: Sequence[Outcome]) -> str:
    rows = [("", *(NAMES[step] for step in Step)), ("---", *("---" for _ in Step))]
    rows += [(fault.value, *(_counts(_of(outcomes, fault, step)) for step in Step)) for fault in Fault]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", summary(outcomes)])


def summary(outcomes: Sequence[Outcome]) -> str:
    """Returns the totals as one sentence."""
    played = [outcome for outcome in outcomes if not outcome.skipped]
    total = sum((outcome.tally for outcome in played), NOTHING)
    broken = sum(bool(outcome.trouble) for outcome in played)
    return (
        f"{len(played)} runs, {total.messages} messages: {total.lost} lost, {total.repeated} repeated "
        f"({total.labelled} more repeated with a label), {total.reordered} reordered, {total.mixed} in the wrong place"
        + (f", {broken} not run to their end" if broken else "")
        + (f", {len(outcomes) - len(played)} skipped" if len(played) < len(outcomes) else "")
        + "."
    )


def _of(outcomes: Iterable[Outcome], fault: Fault, step: Step) -> list[Outcome]:
    return [outcome for outcome in outcomes if (outcome.cell.fault, outcome.cell.step) == (fault, step)]


def _counts(outcomes: Sequence[Outcome]) -> str:
    played = [outcome for outcome in outcomes if not outcome.skipped]
    if not played:
        return "·"
    total = sum((outcome.tally for outcome in played), NOTHING)
    kinds = {
        "L": total.lost,
        "R": total.repeated,
        "O": total.reordered,
        "M": total.mixed,
        "X": sum(bool(outcome.trouble) for outcome in played),
    }
    wrong = " ".join(f"{count}{kind}" for kind, count in kinds.items() if count)
    return (wrong or "0") + (f" +{total.labelled}" if total.labelled else "")


def _coloured(counts: str) -> str:
    return counts if counts[0] in "0·" else f"[bold red]{counts}[/]"

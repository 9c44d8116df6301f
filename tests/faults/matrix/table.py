"""The matrix as people read it: faults by steps, for each platform; or as Markdown, with all in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from tests.faults.matrix.plan import Fault, Step
from tests.faults.matrix.scene import Outcome
from tests.faults.matrix.verdict import NOTHING

NAMES = {
    Step.BEFORE_RECORD: "before it is recorded",
    Step.AFTER_RECORD: "recorded",
    Step.AFTER_CLAIM: "claimed",
    Step.THREAD_OPENED: "thread opened",
    Step.RUN_POSTED: "run posted",
    Step.RUN_STARTED: "run stored",
    Step.STREAMING: "streaming",
    Step.BEFORE_SETTLED: "answered",
    Step.AFTER_SETTLED: "reply stored",
    Step.DELIVERING: "sent",
    Step.AFTER_BROUGHT: "noted",
    Step.BEFORE_FINISHED: "delivered",
    Step.AFTER_FINISHED: "finished",
}
LEGEND = (
    "0: nothing lost, repeated, reordered or mixed up. +1: repeated, and labelled so, where nobody can look. "
    "L lost, R repeated, O out of order, M mixed up, X not played to its end. ·: not played, or no such thing.\n"
    "It strikes when a turn is: " + ", ".join(f"{number} {name}" for number, name in enumerate(NAMES.values(), 1)) + "."
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
    """In one sentence."""
    played = [outcome for outcome in outcomes if not outcome.skipped]
    total = sum((outcome.tally for outcome in played), NOTHING)
    broken = sum(bool(outcome.trouble) for outcome in played)
    return (
        f"{len(played)} plays, {total.messages} messages: {total.lost} lost, {total.repeated} repeated "
        f"({total.labelled} more are labelled as such), {total.reordered} reordered, {total.mixed} mixed up"
        + (f", {broken} not played to their end" if broken else "")
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

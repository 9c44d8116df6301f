"""Renders the results: a table of faults by steps for each platform, or one Markdown table over all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from tests.faults.matrix.cell_scenario import CellOutcome
from tests.faults.matrix.plan import FaultStep, MatrixFault
from tests.faults.matrix.scoring import EMPTY_SCORE

STEP_TITLES = {
    FaultStep.BEFORE_ENQUEUE: "before enqueue",
    FaultStep.ENQUEUE_NOT_COMMITTED: "written, not committed",
    FaultStep.AFTER_ENQUEUE: "enqueued",
    FaultStep.AFTER_CLAIM: "claimed",
    FaultStep.THREAD_CREATED: "thread created",
    FaultStep.RUN_REQUESTED: "run requested",
    FaultStep.RUN_STORED: "run id stored",
    FaultStep.STREAMING: "streaming",
    FaultStep.BEFORE_OUTCOME_STORED: "run completed",
    FaultStep.OUTCOME_STORED: "outcome stored",
    FaultStep.DELIVERING: "reply posted",
    FaultStep.POSTED_MESSAGES_STORED: "posted messages saved",
    FaultStep.BEFORE_FINISH: "before finish",
    FaultStep.FINISHED: "finished",
    FaultStep.PARKED: "parked",
    FaultStep.WOKEN: "woken",
    FaultStep.BEFORE_OUTPUTS: "before outputs",
    FaultStep.OUTPUTS_STORED: "outputs submitted",
    FaultStep.BEFORE_TEXT: "before a text",
    FaultStep.TEXT_STORED: "text stored",
    FaultStep.BEFORE_ADVANCE: "tick recorded",
    FaultStep.ADVANCED: "tick noted",
    FaultStep.BEFORE_HOLD: "before hold",
    FaultStep.HELD: "held",
    FaultStep.BEFORE_BACK: "before give back",
    FaultStep.GIVEN_BACK: "given back",
    FaultStep.BEFORE_CALLBACK: "before callback",
    FaultStep.CALLBACK_STORED: "callback stored",
    FaultStep.CALLBACK_CLAIMED: "callback claimed",
    FaultStep.CALLBACK_POSTED: "callback posted",
    FaultStep.CALLBACK_DELIVERED: "callback delivered",
}
LEGEND = (
    "0: nothing lost, repeated, reordered or in the wrong place. "
    "+1: repeated, with a label that says so, on a platform that cannot be searched. "
    "L lost, R repeated, O out of order, M in the wrong place, X not run to its end. ·: not run, or not possible.\n"
    "The fault is injected at this step of a turn: "
    + ", ".join(f"{number} {name}" for number, name in enumerate(STEP_TITLES.values(), 1))
    + "."
)


def platform_table(platform: str, outcomes: Sequence[CellOutcome]) -> Table:
    table = Table(title=platform, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    played = {outcome.cell.step for outcome in outcomes}
    steps = {step: number for number, step in enumerate(FaultStep, 1) if step in played}
    for number in steps.values():
        table.add_column(str(number), justify="center", no_wrap=True)
    faults = {outcome.cell.fault for outcome in outcomes}
    for fault in (each for each in MatrixFault if each in faults):
        cells = [_counts(_matching(outcomes, fault, step)) for step in steps]
        table.add_row(fault.value, *(_coloured(cell) for cell in cells))
    return table


def markdown(outcomes: Sequence[CellOutcome]) -> str:
    """Returns a row for each step with a column for each fault, as there are twice as many steps."""
    rows = [("", *(fault.value for fault in MatrixFault)), ("---", *("---" for _ in MatrixFault))]
    rows += [
        (STEP_TITLES[step], *(_counts(_matching(outcomes, fault, step)) for fault in MatrixFault)) for step in FaultStep
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", summary(outcomes)])


def summary(outcomes: Sequence[CellOutcome]) -> str:
    """Returns the totals as one sentence."""
    played = [outcome for outcome in outcomes if not outcome.skipped]
    total = sum((outcome.score for outcome in played), EMPTY_SCORE)
    broken = sum(bool(outcome.error) for outcome in played)
    return (
        f"{len(played)} runs, {total.messages} messages: {total.lost} lost, {total.repeated} repeated "
        f"({total.labelled} more repeated with a label), {total.reordered} reordered, "
        f"{total.misplaced} in the wrong place"
        + (f", {broken} not run to their end" if broken else "")
        + (f", {len(outcomes) - len(played)} skipped" if len(played) < len(outcomes) else "")
        + "."
    )


def _matching(outcomes: Iterable[CellOutcome], fault: MatrixFault, step: FaultStep) -> list[CellOutcome]:
    return [outcome for outcome in outcomes if (outcome.cell.fault, outcome.cell.step) == (fault, step)]


def _counts(outcomes: Sequence[CellOutcome]) -> str:
    played = [outcome for outcome in outcomes if not outcome.skipped]
    if not played:
        return "·"
    total = sum((outcome.score for outcome in played), EMPTY_SCORE)
    kinds = {
        "L": total.lost,
        "R": total.repeated,
        "O": total.reordered,
        "M": total.misplaced,
        "X": sum(bool(outcome.error) for outcome in played),
    }
    wrong = " ".join(f"{count}{kind}" for kind, count in kinds.items() if count)
    return (wrong or "0") + (f" +{total.labelled}" if total.labelled else "")


def _coloured(counts: str) -> str:
    return counts if counts[0] in "0·" else f"[bold red]{counts}[/]"

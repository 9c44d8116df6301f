"""A few cells of the fault matrix, and tests that the matrix would detect errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.telegram.reconciler import SENT_AGAIN
from tests.faults.matrix.cell_scenario import CellOutcome
from tests.faults.matrix.plan import (
    OF_SOME,
    SMOKE_CELLS,
    DatabaseKind,
    FaultStep,
    MatrixCell,
    MatrixFault,
    PlatformVariant,
    cells,
    quick,
)
from tests.faults.matrix.runner import run_cells
from tests.faults.matrix.scoring import EMPTY_SCORE, CellScore, reply_to, score_assistant_threads, score_replies
from tests.faults.matrix.table import markdown, summary

SENT_MESSAGES = [["one", "two"], ["three"]]
ALL_FAMILIES = {platform.family for platform in PlatformVariant}
ONE, TWO, THREE = map(reply_to, ("one", "two", "three"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "played", [pytest.param(SMOKE_CELLS[:1], id="one"), pytest.param(SMOKE_CELLS, marks=pytest.mark.slow, id="all")]
)
def test_no_smoke_cell_loses_or_repeats_a_message(played: Sequence[MatrixCell]) -> None:
    for outcome in run_cells(played, max_parallel=8, separate_processes=False):
        assert outcome.passed, f"{outcome.cell}: {outcome.error or outcome.score}\n{outcome.log}"
        assert outcome.skipped or outcome.score.messages == 7


@pytest.mark.parametrize(
    ("threads", "tally"),
    [
        ([["one", "two"], ["three"], []], CellScore(messages=3)),
        ([["one", "two"]], CellScore(messages=3, lost=1)),
        ([["one", "one", "two"], ["three"]], CellScore(messages=3, repeated=1)),
        ([["two", "one"], ["three"]], CellScore(messages=3, reordered=1)),
        ([["one"], ["two"], ["three"]], CellScore(messages=3, misplaced=1)),
        ([["one", "two", "three"]], CellScore(messages=3, misplaced=1)),
        ([["one", "two"], ["three", "what?"]], CellScore(messages=3, misplaced=1)),
    ],
)
def test_messages_to_the_assistant_are_scored(threads: list[list[str]], tally: CellScore) -> None:
    assert score_assistant_threads(SENT_MESSAGES, threads) == tally


@pytest.mark.parametrize(
    ("places", "tally"),
    [
        ([[ONE, TWO], [THREE]], EMPTY_SCORE),
        ([[ONE], [THREE]], CellScore(lost=1)),
        ([[ONE, TWO, TWO], [THREE]], CellScore(repeated=1)),
        ([[ONE, f"{SENT_AGAIN}\n\n{ONE}", TWO], [THREE]], CellScore(labelled=1)),
        ([[f"{SENT_AGAIN}\n\n{ONE}", TWO], [THREE]], CellScore(labelled=1)),
        ([["You", f"{SENT_AGAIN}\n\n{ONE}", TWO], [THREE]], CellScore(labelled=1)),
        ([["You", ONE, TWO], [THREE]], CellScore(misplaced=1)),
        ([[ONE, *[f"{SENT_AGAIN}\n\n{ONE}"] * 2, TWO], [THREE]], CellScore(labelled=1, repeated=1)),
        ([[TWO, ONE], [THREE]], CellScore(reordered=1)),
        ([[ONE, TWO, THREE], []], CellScore(lost=1, misplaced=1)),
    ],
)
def test_replies_are_scored(places: list[list[str]], tally: CellScore) -> None:
    assert score_replies(SENT_MESSAGES, places, 0) == tally


def test_defects_appear_in_the_table() -> None:
    cell = MatrixCell(PlatformVariant.CHAT, DatabaseKind.SQLITE, MatrixFault.KILL, FaultStep.AFTER_ENQUEUE)
    outcomes = [
        CellOutcome(cell, CellScore(messages=7, lost=2, labelled=1)),
        CellOutcome(cell, error="it did not start"),
    ]
    assert "| enqueued | 2L 1X +1 | · |" in markdown(outcomes)
    assert "2 lost" in summary(outcomes)
    assert "1 not run to their end" in summary(outcomes)


def test_the_quick_matrix_has_each_possible_pair_of_fault_and_platform() -> None:
    def kinds(found: list[MatrixCell]) -> set[tuple[MatrixFault, PlatformVariant]]:
        return {(cell.fault, cell.platform) for cell in found}

    chosen = list(quick(ALL_FAMILIES, set(DatabaseKind)))
    assert kinds(chosen) == kinds(list(cells(ALL_FAMILIES, set(DatabaseKind))))
    killed = [cell for cell in chosen if cell.fault is MatrixFault.KILL and cell.step in OF_SOME]
    assert len(kinds(chosen)) <= len(chosen) <= len(kinds(chosen)) + len(killed)
    assert {cell.step for cell in chosen} == set(FaultStep)
    assert {cell.database for cell in chosen} == set(DatabaseKind)

"""A few cells of the fault matrix, and tests that the matrix would detect errors."""

from __future__ import annotations

import pytest

from adapters.telegram.reconciler import SENT_AGAIN
from tests.faults.matrix.cell_scenario import Outcome
from tests.faults.matrix.plan import TELLING, Cell, Database, Fault, Platform, Step, cells, quick
from tests.faults.matrix.runner import run
from tests.faults.matrix.scoring import NOTHING, Tally, asked, brought, reply_to
from tests.faults.matrix.table import markdown, summary

SAID = [["one", "two"], ["three"]]
ALL = {platform.family for platform in Platform}
ONE, TWO, THREE = map(reply_to, ("one", "two", "three"))


@pytest.mark.timeout(180)
def test_no_smoke_cell_loses_or_repeats_a_message() -> None:
    for outcome in run(TELLING, at_once=8, apart=False):
        assert outcome.well, f"{outcome.cell}: {outcome.trouble or outcome.tally}\n{outcome.log}"
        assert outcome.skipped or outcome.tally.messages == 7


@pytest.mark.parametrize(
    ("threads", "tally"),
    [
        ([["one", "two"], ["three"], []], Tally(messages=3)),
        ([["one", "two"]], Tally(messages=3, lost=1)),
        ([["one", "one", "two"], ["three"]], Tally(messages=3, repeated=1)),
        ([["two", "one"], ["three"]], Tally(messages=3, reordered=1)),
        ([["one"], ["two"], ["three"]], Tally(messages=3, mixed=1)),
        ([["one", "two", "three"]], Tally(messages=3, mixed=1)),
        ([["one", "two"], ["three", "what?"]], Tally(messages=3, mixed=1)),
    ],
)
def test_messages_to_the_assistant_are_scored(threads: list[list[str]], tally: Tally) -> None:
    assert asked(SAID, threads) == tally


@pytest.mark.parametrize(
    ("places", "tally"),
    [
        ([[ONE, TWO], [THREE]], NOTHING),
        ([[ONE], [THREE]], Tally(lost=1)),
        ([[ONE, TWO, TWO], [THREE]], Tally(repeated=1)),
        ([[ONE, f"{SENT_AGAIN}\n\n{ONE}", TWO], [THREE]], Tally(labelled=1)),
        ([[f"{SENT_AGAIN}\n\n{ONE}", TWO], [THREE]], Tally(labelled=1)),
        ([["You", f"{SENT_AGAIN}\n\n{ONE}", TWO], [THREE]], Tally(labelled=1)),
        ([["You", ONE, TWO], [THREE]], Tally(mixed=1)),
        ([[ONE, *[f"{SENT_AGAIN}\n\n{ONE}"] * 2, TWO], [THREE]], Tally(labelled=1, repeated=1)),
        ([[TWO, ONE], [THREE]], Tally(reordered=1)),
        ([[ONE, TWO, THREE], []], Tally(lost=1, mixed=1)),
    ],
)
def test_replies_are_scored(places: list[list[str]], tally: Tally) -> None:
    assert brought(SAID, places, 0) == tally


def test_defects_appear_in_the_table() -> None:
    cell = Cell(Platform.CHAT, Database.SQLITE, Fault.KILL, Step.AFTER_RECORD)
    outcomes = [Outcome(cell, Tally(messages=7, lost=2, labelled=1)), Outcome(cell, trouble="it did not start")]
    assert "| kill -9 | · | 2L 1X +1 |" in markdown(outcomes)
    assert "2 lost" in summary(outcomes)
    assert "1 not run to their end" in summary(outcomes)


def test_the_quick_matrix_has_each_possible_pair_of_fault_and_platform() -> None:
    def kinds(found: list[Cell]) -> set[tuple[Fault, Platform]]:
        return {(cell.fault, cell.platform) for cell in found}

    chosen = list(quick(ALL, set(Database)))
    assert kinds(chosen) == kinds(list(cells(ALL, set(Database))))
    assert len(chosen) == len(kinds(chosen))
    assert {cell.step for cell in chosen} == set(Step)
    assert {cell.database for cell in chosen} == set(Database)

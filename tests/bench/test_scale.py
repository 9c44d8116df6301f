"""The scale scenes measure correctly, as far as that can be tested without a clock."""

from __future__ import annotations

from contextlib import closing

import pytest

from gateway.domain.models import ConversationKey, TurnState
from gateway.domain.shares import Share
from storage.migrations import upgrade
from tests import postgres
from tests.bench.measurements import Measurement, at_least, at_most
from tests.bench.plan import TEXT
from tests.bench.scale import TurnProgress
from tests.bench.scale_core import PLATFORM
from tests.bench.scale_tables import TURNS_PER_CONVERSATION, fill_table, measure_in_turns


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a new database: rows are filled in by their numbers."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    url = postgres.new_database(request.getfixturevalue("postgres_sockets"))
    upgrade(url)
    return url


def test_a_value_at_the_limit_meets_the_target() -> None:
    assert Measurement("", "", 800.0, target=at_least(800)).target_met
    assert not Measurement("", "", 799.0, target=at_least(800)).target_met
    assert Measurement("", "", 15.0, target=at_most(15)).target_met
    assert not Measurement("", "", 15.1, target=at_most(15)).target_met


def test_turns_are_counted_from_the_first_one_received_to_the_last_one_delivered() -> None:
    assert TurnProgress(received=300, delivered=300, started=300, first_at=10.0, last_at=12.0).rate == 150


def test_a_filled_table_is_like_one_that_the_store_has_written(database_url: str) -> None:
    table = fill_table(database_url, 4 * TURNS_PER_CONVERSATION)
    with closing(table.store) as store:
        ((accepted, claimed),) = measure_in_turns([table], messages=3, warm_up=1)
        assert len(accepted) == len(claimed) == 3
        everywhere = [
            store.find_conversation(ConversationKey(PLATFORM, channel=f"c{number}")) for number in range(1, 5)
        ]
        turns = [turn for one in everywhere if one is not None for turn in store.transcript(one.id)]
        assert len(turns) == 4 * TURNS_PER_CONVERSATION + 4
        assert {turn.state for turn in turns} == {TurnState.DELIVERED}
        assert {turn.message.text for turn in turns} == {TEXT}


def test_a_flood_waits_behind_another_callers_message(database_url: str) -> None:
    table = fill_table(database_url, 4 * TURNS_PER_CONVERSATION)
    with closing(table.store) as store:
        table.add_flood(3)
        assert table.time_one_claim_beside_a_flood() > 0.0
        assert [depth.by_share for depth in store.queue_depths()] == [{Share("flood"): 3}]

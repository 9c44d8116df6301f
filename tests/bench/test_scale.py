"""The scale scenes measure correctly, as far as that can be tested without a clock."""

from __future__ import annotations

from contextlib import closing

from gateway.domain.models import ConversationKey, TurnState
from tests.bench.measurements import Figure, at_least, at_most
from tests.bench.plan import TEXT
from tests.bench.scale import Progress
from tests.bench.scale_core import PLATFORM
from tests.bench.scale_tables import TURNS_EACH, filled, side_by_side


def test_a_value_at_the_limit_meets_the_target() -> None:
    assert Figure("", "", 800.0, aim=at_least(800)).met
    assert not Figure("", "", 799.0, aim=at_least(800)).met
    assert Figure("", "", 15.0, aim=at_most(15)).met
    assert not Figure("", "", 15.1, aim=at_most(15)).met


def test_turns_are_counted_from_the_first_one_received_to_the_last_one_delivered() -> None:
    assert Progress(received=300, delivered=300, begun=300, first_at=10.0, last_at=12.0).rate == 150


def test_a_filled_table_is_like_one_that_the_store_has_written(database_url: str) -> None:
    table = filled(database_url, 4 * TURNS_EACH)
    with closing(table.store) as store:
        ((accepted, claimed),) = side_by_side([table], messages=3, warm_up=1)
        assert len(accepted) == len(claimed) == 3
        everywhere = [store.conversation(ConversationKey(PLATFORM, channel=f"c{number}")) for number in range(1, 5)]
        turns = [turn for one in everywhere if one is not None for turn in store.transcript(one.id)]
        assert len(turns) == 4 * TURNS_EACH + 4
        assert {turn.state for turn in turns} == {TurnState.DELIVERED}
        assert {turn.message.text for turn in turns} == {TEXT}

"""Contract of Schedules. Subclasses give ``store``, with a table of schedules that is empty, and ``peer``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.models import ConversationKey, TurnId
from gateway.ports.schedules import Push, Schedule
from storage.store import SqlStore
from tests.contracts.store_helpers import run_concurrently

PLACE = ConversationKey("disk", "T1", "C1", "17")


def schedule(name: str = "sch_1", *, next_at: float | None = 1.5, owner: str = "push key a") -> Schedule:
    return Schedule(name, owner, Push(PLACE, prompt="Sum up", assistant="default"), "0 9 * * *", "Asia/Tokyo", next_at)


class SchedulesContract:
    def test_a_schedule_is_stored_as_it_is_and_once(self, store: SqlStore) -> None:
        added = store.schedules.add(schedule())
        assert replace(added, created_at=0.0) == schedule()
        assert added.created_at > 0
        assert store.schedules.add(replace(schedule(), every="* * * * *")) == added
        assert store.schedules.get("sch_1") == added
        assert store.schedules.get("sch_2") is None

    def test_each_owner_has_a_list_of_its_own(self, store: SqlStore) -> None:
        first, other = store.schedules.add(schedule()), store.schedules.add(schedule("sch_2", owner="push key b"))
        assert list(store.schedules.listed(10)) == [other, first]
        assert list(store.schedules.listed(1)) == [other]
        assert list(store.schedules.listed(10, "push key a")) == [first]
        assert store.schedules.count_active("push key a") == 1

    def test_what_is_due_comes_in_the_order_of_its_time(self, store: SqlStore) -> None:
        for name, at in (("a late", 2.0), ("never", None), ("early", 1.0), ("later", 1e11)):
            store.schedules.add(schedule(name, next_at=at))
        now, due = store.schedules.due(["disk"], 10)
        assert 1.6e9 < now < 1e11
        assert [each.id for each in due] == ["early", "a late"]
        assert [each.id for each in store.schedules.due(["disk"], 1)[1]] == ["early"]
        assert store.schedules.due(["pigeon"], 10)[1] == []

    def test_those_that_recur_come_in_pages(self, store: SqlStore) -> None:
        for name in "cab":
            store.schedules.add(schedule(name))
        store.schedules.add(replace(schedule("once"), every=""))
        store.schedules.add(schedule("over", next_at=None))
        assert [each.id for each in store.schedules.recurring(2)] == ["a", "b"]
        assert [each.id for each in store.schedules.recurring(2, "b")] == ["c"]

    def test_a_tick_is_recorded_by_one_process(self, store: SqlStore, peer: SqlStore) -> None:
        tick = store.schedules.add(schedule())
        tries = [
            partial(each.schedules.advance, tick, 1e11, TurnId(f"turn_{number}"))
            for number, each in enumerate((store, peer))
        ]
        assert sorted(run_concurrently(tries)) == [False, True]
        stored = store.schedules.get("sch_1")
        assert stored is not None
        assert (stored.next_at, stored.problem) == (1e11, "")
        assert stored.last_turn in ("turn_0", "turn_1")

    def test_a_tick_without_a_turn_keeps_the_turn_before_and_says_why(self, store: SqlStore) -> None:
        tick = store.schedules.add(schedule())
        store.schedules.advance(tick, 2.5, TurnId("turn_1"))
        assert store.schedules.advance(replace(tick, next_at=2.5), None, None, "no channel")
        stored = store.schedules.get("sch_1")
        assert stored is not None
        assert (stored.next_at, stored.last_turn, stored.problem) == (None, "turn_1", "no channel")

    def test_a_cancelled_schedule_is_not_due_and_its_tick_is_not_recorded(self, store: SqlStore) -> None:
        tick, other = store.schedules.add(schedule()), store.schedules.add(schedule("sch_2", owner="push key b"))
        assert store.schedules.cancel("sch_1") is True
        assert store.schedules.cancel("sch_1") is False
        assert store.schedules.due(["disk"], 10)[1] == [other]
        assert store.schedules.advance(tick, 1e11, None) is False
        assert store.schedules.count_active("push key a") == 0

    def test_schedules_that_have_ended_are_erased_when_they_are_old(
        self, store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.schedules.add(schedule())
        store.schedules.advance(store.schedules.add(schedule("sch_2")), None, None)
        store.schedules.add(schedule("sch_3"))
        store.schedules.cancel("sch_3")
        store.schedules.advance(store.schedules.add(schedule("sch_4")), 1e11, None)
        store.purge_expired()
        assert len(store.schedules.listed(10)) == 4
        monkeypatch.setattr("storage.reporting.SCHEDULE_KEEP_SECONDS", -1.0)
        store.purge_expired()
        assert {each.id for each in store.schedules.listed(10)} == {"sch_1", "sch_4"}

"""The contract of People. Subclasses set the database."""

from __future__ import annotations

from gateway.ports.people import ChannelId, PeopleOrder, PersonId, PersonUsage, Sighting
from gateway.ports.reporting import TurnFilter
from storage.store import SqlStore
from tests.contracts.reporting_helpers import DAY, SetTimes, answered_turn, failed_turn
from tests.contracts.store_helpers import PLATFORM

ADA, BEN = PersonId(PLATFORM, "Ada"), PersonId(PLATFORM, "Ben")
GENERAL = ChannelId(PLATFORM, "C1")


class PeopleContract:
    """Subclasses provide ``store`` without rows, and ``set_times``."""

    def test_a_person_is_noted_with_the_newest_name(self, store: SqlStore) -> None:
        store.people.note([Sighting(ADA, "Ada L.", "pigeon:sales", "T1", is_claimed=True)], {})
        first = store.people.get(ADA)
        assert first is not None
        assert (first.id, first.name, first.bot, first.workspace) == (ADA, "Ada L.", "pigeon:sales", "T1")
        assert first.is_claimed
        assert abs(first.last_at - store.now()) < 60
        store.people.note([Sighting(ADA, "", workspace="T2")], {})
        again = store.people.get(ADA)
        assert again is not None
        assert (again.name, again.bot, again.workspace, again.is_claimed) == ("Ada L.", PLATFORM, "T2", False)
        assert again.first_at == first.first_at
        assert again.last_at >= first.last_at
        store.people.note([Sighting(ADA, "Ada B.")], {})
        assert store.people.names_of([ADA, BEN]) == {ADA: "Ada B."}
        assert store.people.get(BEN) is None

    def test_people_are_listed_last_seen_first_and_paged(self, store: SqlStore) -> None:
        names = [PersonId("owl" if number % 2 else PLATFORM, f"u{number}") for number in range(7)]
        store.people.note([Sighting(each) for each in names[:4]], {})
        for each in names[4:]:
            store.people.note([Sighting(each)], {})
        first = store.people.find("", "", limit=4)
        rest = store.people.find("", "", limit=4, before=first[-1])
        order = [(each.last_at, each.id.platform, each.id.user) for each in (*first, *rest)]
        assert order == sorted(order, reverse=True)
        assert {each.id for each in (*first, *rest)} == set(names)
        assert len(first) + len(rest) == 7
        assert {each.id.user for each in store.people.find("", "owl", limit=9)} == {"u1", "u3", "u5"}

    def test_people_are_found_by_a_part_of_name_or_id(self, store: SqlStore) -> None:
        store.people.note([Sighting(ADA, "Lovelace"), Sighting(BEN)], {})
        for text, found in {"LOVE": [ADA], "ad": [ADA], "ben": [BEN], "%": [], "x": []}.items():
            assert [each.id for each in store.people.find(text, "", limit=9)] == found, text

    def test_usage_is_summed_over_bots_and_since_a_time(self, store: SqlStore, set_times: SetTimes) -> None:
        set_times(answered_turn(store), 10 * DAY)
        set_times(answered_turn(store, platform=f"{PLATFORM}:sales"), 11 * DAY)
        set_times(failed_turn(store, "roof"), 12 * DAY)
        set_times(answered_turn(store, author="Ben"), 12 * DAY)
        set_times(answered_turn(store, platform="owl"), 12 * DAY)
        assert store.people.usage_of([ADA, BEN, PersonId(PLATFORM, "Cy")], 11 * DAY) == {
            ADA: PersonUsage(turns=2, failed=1, tokens=7, cost=50),
            BEN: PersonUsage(turns=1, failed=0, tokens=7, cost=50),
        }
        assert store.people.usage_of([ADA], 9 * DAY)[ADA].turns == 3
        assert store.people.usage_of([], 0.0) == {}

    def test_those_who_use_most_come_first(self, store: SqlStore, set_times: SetTimes) -> None:
        for _ in range(2):
            set_times(failed_turn(store, "roof", author="Cy"), 12 * DAY)
        set_times(failed_turn(store, "roof", author="Cy"), 12 * DAY)
        for number in range(2):
            set_times(answered_turn(store, f"{number}"), 12 * DAY)
        set_times(answered_turn(store, author="Ben"), 11 * DAY)
        assert [each.user for each in store.people.top(PeopleOrder.TURNS, 12 * DAY, 9)] == ["Cy", "Ada"]
        assert [each.user for each in store.people.top(PeopleOrder.COST, 11 * DAY, 2)] == ["Ada", "Ben"]

    def test_channels_have_names(self, store: SqlStore) -> None:
        store.people.note([], {GENERAL: "general", ChannelId("owl", "C1"): "Eule"})
        store.people.note([], {GENERAL: "all-hands"})
        assert store.people.channel_names([GENERAL, ChannelId(PLATFORM, "C2")]) == {GENERAL: "all-hands"}
        assert store.people.channel_names([]) == {}

    def test_conversations_are_found_by_the_people_and_channels_that_have_a_name(self, store: SqlStore) -> None:
        for author, channel in (("Ada", "loft"), ("Ben", "loft"), ("Ada", "roof")):
            answered_turn(store, channel, author=author)
        answered_turn(store, "tower", author="", user="Cy")
        names = {"Ada": "Hands On", "Ben": "Ben's", "Cy": "Cyril"}
        sightings = [Sighting(PersonId(PLATFORM, user), name) for user, name in names.items()]
        store.people.note(sightings, {ChannelId(PLATFORM, "tower"): "all-hands"})
        wanted = {"HANDS": {"loft", "roof", "tower"}, "ben": {"loft"}, "cyr": {"tower"}, "Ada": set[str]()}
        for name, places in wanted.items():
            found = store.find_conversations(TurnFilter(named=name), limit=10)
            assert {each.conversation.key.channel for each in found} == places, name

    def test_a_person_is_erased(self, store: SqlStore) -> None:
        store.people.note([Sighting(ADA, "Lovelace"), Sighting(PersonId("owl", ADA.user))], {})
        assert store.people.erase(ADA)
        assert not store.people.erase(ADA)
        assert [each.id.platform for each in store.people.find("", "", limit=5)] == ["owl"]

    def test_who_was_not_seen_for_long_is_erased(self, store: SqlStore) -> None:
        store.people.note([Sighting(ADA)], {GENERAL: "general"})
        assert store.people.erase_older_than(60.0) == 0
        assert store.people.erase_older_than(-60.0) == 1
        assert store.people.channel_names([GENERAL]) == {}


class BlocksContract:
    """Subclasses provide ``store`` without rows, and ``peer``, the store of another process."""

    def test_a_block_is_seen_by_every_process(self, store: SqlStore, peer: SqlStore) -> None:
        before = peer.blocks.version()
        assert store.blocks.add(ADA, "ann", "spam")
        assert not store.blocks.add(ADA, "bob", "other")
        (block,) = peer.blocks.listed()
        assert (block.person, block.actor, block.reason) == (ADA, "ann", "spam")
        assert (block.told_at, block.refused, block.refused_at) == (None, 0, None)
        assert peer.blocks.get(ADA) == block
        assert peer.blocks.get(BEN) is None
        between = peer.blocks.version()
        assert store.blocks.remove(ADA)
        assert not store.blocks.remove(ADA)
        assert len({before, between, peer.blocks.version()}) == 3
        assert peer.blocks.listed() == []

    def test_a_blocked_person_is_told_once_for_each_block(self, store: SqlStore, peer: SqlStore) -> None:
        assert not store.blocks.try_tell(ADA)
        store.blocks.add(ADA, "ann")
        assert [store.blocks.try_tell(ADA), peer.blocks.try_tell(ADA)] == [True, False]
        store.blocks.remove(ADA)
        store.blocks.add(ADA, "ann")
        assert peer.blocks.try_tell(ADA)

    def test_refused_messages_are_counted(self, store: SqlStore, peer: SqlStore) -> None:
        store.blocks.add(ADA, "ann")
        store.blocks.count_refused({ADA: 2, BEN: 5})
        peer.blocks.count_refused({ADA: 1})
        store.blocks.count_refused({})
        (block,) = store.blocks.listed()
        assert block.refused == 3
        assert block.refused_at is not None

    def test_the_newest_block_is_listed_first(self, store: SqlStore) -> None:
        for person in (ADA, BEN):
            store.blocks.add(person, "ann")
        assert [each.person for each in store.blocks.listed()] == [BEN, ADA]

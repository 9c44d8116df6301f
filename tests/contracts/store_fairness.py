"""Contract of Store: claims go round over those who wait, and leave places to others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.coordination.shares import SharedPlaces
from gateway.domain.conversations import Claim
from gateway.domain.models import Message, Turn
from gateway.domain.shares import NOBODY
from gateway.ports.enqueue import EnqueueRequest
from gateway.ports.leased_writes import ParkTurn
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
    answer,
    apply_write,
    enqueue_one,
    finish,
    get_turn,
    message,
    new_turn,
)

MANY = 40
CROWD = 130
"""More than one statement looks at."""
MOST_LOOKED_AT = 500
"""By one claim."""


def said(author: str, channel: str, workspace: str = "") -> Message:
    """Returns a message; with a workspace, of one that has a share of its own."""
    one = message(channel)
    key = replace(one.key, workspace=workspace or one.key.workspace)
    return replace(one, author=author, key=key, has_workspace_share=bool(workspace))


def say(store: Store, author: str, channel: str, workspace: str = "", *, owner: str | None = None) -> Turn:
    return enqueue_one(store, said(author, channel, workspace), new_turn(), owner=owner).turn


def flood(store: Store, author: str, count: int, workspace: str = "") -> list[Turn]:
    return [say(store, author, f"{author}{number}", workspace) for number in range(count)]


def authors(claims: object) -> list[str]:
    assert isinstance(claims, list | tuple)
    return [claim.turn.message.author for claim in claims if isinstance(claim, Claim)]


class FairnessContract:
    def test_who_comes_last_with_one_message_is_not_behind_a_flood(self, store: Store) -> None:
        flood(store, "many", 20)
        say(store, "one", "loft")
        assert "one" in authors(store.claim("w", [PLATFORM], 2))

    def test_claims_go_round_over_those_who_wait(self, store: Store) -> None:
        for author in ("a", "b", "c"):
            flood(store, author, 5)
        served = [authors(store.claim("w", [PLATFORM], 1))[0] for _ in range(9)]
        assert Counter(served) == {"a": 3, "b": 3, "c": 3}
        assert all(set(served[start : start + 3]) == {"a", "b", "c"} for start in (0, 3, 6))

    def test_many_at_once_are_as_many_of_each(self, store: Store) -> None:
        flood(store, "a", 10)
        flood(store, "b", 2)
        flood(store, "c", 10)
        assert Counter(authors(store.claim("w", [PLATFORM], 10))) == {"a": 4, "b": 2, "c": 4}

    def test_who_waits_behind_many_that_may_take_no_more_is_served(self, store: Store, peer: Store) -> None:
        crowd = [f"{number:03}" for number in range(CROWD)]
        for place in ("first", "second"):
            said_by_all = [said(author, f"{author} {place}") for author in crowd]
            store.enqueue_all([EnqueueRequest(each, new_turn()) for each in said_by_all])
        places = SharedPlaces(10 * CROWD, 0.0001)
        assert sorted(authors(store.claim("w", [PLATFORM], CROWD, places))) == crowd
        say(store, "last", "last")
        assert authors(peer.claim("w", [PLATFORM], CROWD, places)) == ["last"]

    def test_of_one_author_the_oldest_are_first(self, store: Store) -> None:
        turns = flood(store, "a", 5)
        claims = [claim for limit in (2, 1, 2) for claim in store.claim("w", [PLATFORM], limit)]
        assert [claim.turn.id for claim in claims] == [turn.id for turn in turns]

    def test_the_last_places_are_left_to_others(self, store: Store, peer: Store) -> None:
        flood(store, "a", 10)
        places = SharedPlaces(10, 0.4)
        assert authors(store.claim("w", [PLATFORM], 5, places)) == ["a"] * 4
        assert places.has_refused
        assert store.claim("w", [PLATFORM], 1, places) == ()
        for author in ("b", "5", "3"):  # wherever the ring has stopped
            say(peer, author, author)
            assert authors(store.claim("w", [PLATFORM], 1, places)) == [author]

    def test_so_it_is_with_expired_leases(self, store: Store, expire_lease: ExpireLease) -> None:
        for number in range(4):
            expire_lease(say(store, "a", f"a{number}", owner="dead").conversation_id)
        expire_lease(say(store, "b", "b", owner="dead").conversation_id)
        assert sorted(authors(store.claim("w", [PLATFORM], 5, SharedPlaces(3, 0.7)))) == ["a", "a", "b"]

    def test_a_conversation_is_its_authors_until_it_has_no_turn_left(self, store: Store) -> None:
        say(store, "a", "loft")
        say(store, "b", "loft")
        (claim,) = store.claim("w", [PLATFORM], 1)
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        store.apply_writes([answer(following), finish(following)])
        again = enqueue_one(store, replace(message("loft"), author="b"), new_turn(), owner="w").claim
        assert claim.share != NOBODY
        assert again is not None
        assert again.share == again.turn.message.share != claim.share

    def test_parked_turns_are_in_nobodys_way(self, store: Store) -> None:
        for number in range(3):
            claim = enqueue_one(store, replace(message(f"a{number}"), author="a"), new_turn(), owner="w").claim
            assert claim is not None
            apply_write(store, ParkTurn(claim.lease, claim.turn, "budget", 0.0, 60.0))
        say(store, "b", "b")
        assert authors(store.claim("w", [PLATFORM], 4, SharedPlaces(3, 0.7))).count("b") == 1

    def test_depths_say_whose_turns_wait(self, store: Store) -> None:
        turns = [*flood(store, "a", 3), say(store, "b", "b")]
        (depth,) = store.queue_depths()
        assert sorted(depth.by_share.values()) == [1, 3]
        assert depth.by_share[get_turn(store, turns[0]).message.share] == 3

    def test_a_workspace_of_many_people_is_served_as_often_as_one_of_few(self, store: Store, peer: Store) -> None:
        for number in range(8):
            flood(store, f"{number}", 3, "big")
        flood(store, "ann", 6, "small")
        flood(store, "bob", 6)
        for claims in ([store.claim("w", [PLATFORM], 1)[0] for _ in range(6)], peer.claim("v", [PLATFORM], 6)):
            served = Counter(claim.conversation.key.workspace for claim in claims)
            assert served == {"big": 2, "small": 2, "workspace": 2}

    def test_the_people_of_a_workspace_take_turns(self, store: Store) -> None:
        for author in "abc":
            flood(store, author, 4, "big")
        say(store, "z", "z", "other")
        served = [authors(store.claim("w", [PLATFORM], 1))[0] for _ in range(7)]
        assert Counter(served) == {"a": 2, "b": 2, "c": 2, "z": 1}
        assert Counter(authors(store.claim("w", [PLATFORM], 6))) == {"a": 2, "b": 2, "c": 2}

    def test_a_workspace_leaves_the_last_places_to_others_and_one_of_its_people_to_the_rest(self, store: Store) -> None:
        flood(store, "a", 10, "big")
        places = SharedPlaces(10, 0.5, workspace_fraction=0.8)
        assert authors(store.claim("w", [PLATFORM], 10, places)) == ["a"] * 4
        flood(store, "b", 10, "big")
        flood(store, "c", 10, "big")
        flood(store, "d", 10, "big")
        assert sorted(authors(store.claim("w", [PLATFORM], 10, places))) == ["b", "c", "d"]
        assert store.claim("w", [PLATFORM], 1, places) == ()
        for author, workspace in (("e", "small"), ("f", "")):
            say(store, author, author, workspace)
            assert authors(store.claim("w", [PLATFORM], 1, places)) == [author]

    def test_a_workspace_that_has_its_share_is_in_nobodys_way(self, store: Store, expire_lease: ExpireLease) -> None:
        places = SharedPlaces(5, 1.0, workspace_fraction=0.8)
        for number in range(6):
            expire_lease(say(store, f"{number}", f"{number}", "big", owner="dead").conversation_id)
        assert len(store.claim("w", [PLATFORM], 6, places)) == 4
        flood(store, "a", 5, "big")
        expire_lease(say(store, "b", "b", "small", owner="dead").conversation_id)
        assert authors(store.claim("w", [PLATFORM], 1, places)) == ["b"]

    def test_a_workspace_keeps_its_share_from_turn_to_turn(self, store: Store, peer: Store) -> None:
        say(store, "a", "loft", "big")
        say(store, "b", "loft", "big")
        (claim,) = peer.claim("w", [PLATFORM], 1)
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert claim.share == following.share == said("a", "loft", "big").share != said("a", "loft").share
        (depth,) = store.queue_depths()
        assert depth.by_share == {claim.share: 1}

    def test_the_workspaces_of_another_platform_are_in_nobodys_way(self, store: Store) -> None:
        foreign = said("a", "a", "big")
        enqueue_one(store, replace(foreign, key=replace(foreign.key, platform="a crow")), new_turn())
        say(store, "b", "b", "small")
        assert authors(store.claim("w", [PLATFORM], 5)) == ["b"]

    @pytest.mark.parametrize("workspaces", [False, True], ids=["callers", "workspaces"])
    def test_who_waits_behind_many_whom_this_process_does_not_serve_is_not_overlooked(
        self, store: Store, *, workspaces: bool
    ) -> None:
        crowd = [said(f"{number:04}", f"{number}", f"{number:04}" * workspaces) for number in range(MOST_LOOKED_AT)]
        foreign = [replace(one, key=replace(one.key, platform="a crow")) for one in crowd]
        store.enqueue_all([EnqueueRequest(one, new_turn()) for one in foreign])
        waiting = say(store, "zoe", "loft", "zoo" * workspaces)
        claims = [claim for _ in range(3) for claim in store.claim("w", [PLATFORM], 1)]
        assert [claim.turn.id for claim in claims] == [waiting.id]

    def test_a_workspace_may_be_one_of_many(self, store: Store, peer: Store) -> None:
        turns = [say(store, "a", "a", f"w{number:03}") for number in range(MANY)]
        first = store.claim("w", [PLATFORM], 7)
        rest = [*peer.claim("v", [PLATFORM], MANY), *store.claim("w", [PLATFORM], MANY)]
        assert {claim.turn.id for claim in (*first, *rest)} == {turn.id for turn in turns}

"""Contract of Store: values, locks and token buckets."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ports.store import Store
from gateway.ports.token_buckets import Rate, TokenRequest
from tests.contracts.store_helpers import LetTimePass, run_concurrently
from tests.examples import examples

SLOW = Rate(interval=1000.0)
"""So slow that the duration of a test does not matter."""
ABOUT = partial(pytest.approx, abs=100.0)
FOREVER = 1e9


class KeyValueContract:
    def test_first_value_of_a_name_is_kept(self, store: Store, peer: Store) -> None:
        assert store.set_value_if_absent("assistant", "asst_1") == "asst_1"
        assert peer.set_value_if_absent("assistant", "asst_2") == "asst_1"
        assert peer.get_value("assistant") == "asst_1"
        said = run_concurrently(
            [partial((store, peer)[number % 2].set_value_if_absent, "b", f"{number}") for number in range(6)]
        )
        assert set(said) == {store.get_value("b")}

    def test_set_value_replaces_the_old_value(self, store: Store, peer: Store) -> None:
        store.set_value("pigeon:1", "first")
        peer.set_value("pigeon:1", "a\x00b\ud800 🕊")
        store.set_value("pigeon:2", "other")
        assert store.get_value("pigeon:1") == store.set_value_if_absent("pigeon:1", "late") == "a\ufffdb\ufffd 🕊"
        assert peer.get_value("pigeon:2") == "other"

    def test_deleted_value_is_gone(self, store: Store, peer: Store) -> None:
        store.set_value("pigeon:1", "first")
        store.set_value("pigeon:2", "other")
        assert not store.replace_value("pigeon:1", "another", "new")
        assert not store.replace_value("pigeon:2", "none", "new")
        assert store.replace_value("pigeon:1", "first", "a\x00b\ud800 🕊")
        assert peer.get_value("pigeon:1") == "a\ufffdb\ufffd 🕊"
        assert peer.replace_value("pigeon:1", "a\x00b\ud800 🕊", "b")
        assert peer.delete_value("pigeon:1")
        assert not store.delete_value("pigeon:1")
        assert (store.get_value("pigeon:1"), store.get_value("pigeon:2")) == (None, "other")
        assert store.set_value_if_absent("pigeon:1", "again") == "again"


class NamedLockContract:
    def test_lock_is_exclusive_until_it_expires(self, store: Store, peer: Store, let_time_pass: LetTimePass) -> None:
        assert store.try_lock("rotate", "one", 60.0)
        assert not peer.try_lock("rotate", "two", 60.0)
        assert peer.try_lock("other", "two", 60.0)
        let_time_pass(61.0)
        assert peer.try_lock("rotate", "two", 60.0)
        assert not store.try_lock("rotate", "one", 60.0)

    def test_owner_extends_its_lock(self, store: Store, peer: Store, let_time_pass: LetTimePass) -> None:
        assert store.try_lock("rotate", "one", 600.0)
        let_time_pass(400.0)
        assert store.try_lock("rotate", "one", 600.0)
        let_time_pass(400.0)
        assert not peer.try_lock("rotate", "two", 600.0)
        let_time_pass(400.0)
        assert peer.try_lock("rotate", "two", 600.0)

    def test_released_lock_is_free(self, store: Store, peer: Store) -> None:
        assert store.try_lock("rotate", "one", 60.0)
        assert not peer.try_lock("rotate", "two", 0)
        assert not peer.try_lock("rotate", "two", 60.0)
        assert store.try_lock("rotate", "one", 0)
        assert peer.try_lock("rotate", "two", 60.0)

    def test_concurrent_owners_get_one_lock(self, store: Store, peer: Store, let_time_pass: LetTimePass) -> None:
        for _ in range(5):
            asked = [partial((store, peer)[number % 2].try_lock, "rotate", f"{number}", 60.0) for number in range(6)]
            assert sorted(run_concurrently(asked)) == [False] * 5 + [True]
            let_time_pass(61.0)


class TokenBucketContract:
    def test_tokens_are_spaced_by_the_interval(self, store: Store, peer: Store) -> None:
        assert store.take_token("post", SLOW, FOREVER) == 0.0
        assert peer.take_token("post", SLOW, FOREVER) == ABOUT(1000.0)
        assert store.take_token("post", SLOW, FOREVER) == ABOUT(2000.0)
        assert store.take_token("other", SLOW, FOREVER) == 0.0

    def test_burst_of_tokens_is_valid_at_once(self, store: Store) -> None:
        rate = Rate(1000.0, burst=3)
        assert [store.take_token("post", rate, 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, None]
        assert store.take_token("post", rate, FOREVER) == ABOUT(1000.0)

    def test_idle_bucket_accumulates_at_most_a_burst(self, store: Store, let_time_pass: LetTimePass) -> None:
        rate = Rate(1000.0, burst=3)
        store.take_token("post", rate, 0.0)
        let_time_pass(100_000.0)
        assert [store.take_token("post", rate, 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, None]
        let_time_pass(1000.0)
        assert [store.take_token("post", rate, 0.0) for _ in range(2)] == [0.0, None]

    def test_no_token_is_taken_beyond_max_wait(self, store: Store, let_time_pass: LetTimePass) -> None:
        store.take_token("post", SLOW, 0.0)
        assert [store.take_token("post", SLOW, 500.0) for _ in range(3)] == [None] * 3
        assert store.take_token("post", SLOW, 1500.0) == ABOUT(1000.0)
        let_time_pass(2000.0)
        assert store.take_token("post", SLOW, 0.0) == 0.0

    def test_concurrent_callers_get_different_tokens(self, store: Store, peer: Store) -> None:
        asked = [
            partial((store, peer)[number % 2].take_token, "post", Rate(1000.0, burst=2), 4500.0) for number in range(9)
        ]
        waits = run_concurrently(asked)
        assert waits.count(None) == 3
        assert sorted(wait for wait in waits if wait is not None) == [0.0, 0.0, *map(ABOUT, range(1000, 5000, 1000))]

    def test_tokens_taken_together_are_those_taken_one_by_one(self, store: Store, peer: Store) -> None:
        rate = Rate(1000.0, burst=2)
        peer.take_token("post", rate, 0.0)
        asked = [("post", FOREVER), ("other", 0.0), ("post", 500.0), ("post", FOREVER), ("any", 0.0)]
        waits = store.take_tokens([TokenRequest(bucket, rate, patience) for bucket, patience in asked])
        assert waits == [ABOUT(0.0), ABOUT(-1000.0), None, ABOUT(1000.0), ABOUT(-1000.0)]
        assert peer.take_token("post", rate, FOREVER) == ABOUT(2000.0)
        assert list(store.take_tokens(())) == []

    def test_a_block_of_tokens_takes_the_place_of_each(self, store: Store, peer: Store) -> None:
        rate = Rate(1000.0, burst=2)
        assert list(store.take_tokens([TokenRequest("post", rate, 0.0, count=3)])) == [ABOUT(-1000.0)]
        assert peer.take_token("post", rate, FOREVER) == ABOUT(2000.0)
        blocks = [TokenRequest("post", rate, patience, count=2) for patience in (2000.0, 4000.0, FOREVER)]
        assert store.take_tokens(blocks) == [None, ABOUT(3000.0), ABOUT(5000.0)]

    def test_concurrent_groups_get_different_tokens(self, store: Store, peer: Store) -> None:
        rate, orders = Rate(1000.0, burst=2), ("abc", "cba", "bac", "cab")
        groups = [[TokenRequest(bucket, rate, FOREVER) for bucket in order] for order in orders]
        asked = [partial((store, peer)[side % 2].take_tokens, group) for side, group in enumerate(groups)]
        taken = zip(orders, run_concurrently(asked), strict=True)
        waits = [dict(zip(order, each, strict=True)) for order, each in taken]
        for bucket in "abc":
            assert sorted(each[bucket] for each in waits) == [*map(ABOUT, (-1000.0, 0.0, 1000.0, 2000.0))]

    def test_blocked_bucket_gives_no_token(self, store: Store, peer: Store, let_time_pass: LetTimePass) -> None:
        rate = Rate(1000.0, burst=3)
        store.block_for("post", 30_000.0)
        assert peer.take_token("post", rate, 20_000.0) is None
        assert peer.take_token("post", rate, FOREVER) == ABOUT(30_000.0)
        assert peer.take_token("post", rate, FOREVER) == ABOUT(31_000.0)
        assert peer.take_token("other", rate, FOREVER) == 0.0
        let_time_pass(32_100.0)
        assert peer.take_token("post", rate, 0.0) == 0.0

    def test_blocking_brings_no_token_nearer(self, store: Store) -> None:
        store.block_for("post", 30_000.0)
        store.block_for("post", 10_000.0)
        assert store.take_token("post", SLOW, FOREVER) == ABOUT(30_000.0)
        store.block_for("post", 10_000.0)
        assert store.take_token("post", SLOW, FOREVER) == ABOUT(31_000.0)

    @settings(max_examples=examples(8), suppress_health_check=list(HealthCheck))
    @given(
        burst=st.integers(1, 4),
        steps=st.lists(st.integers(0, 40) | st.tuples(st.integers(0, 40)), min_size=5, max_size=25),
        bucket=st.uuids(),
    )
    def test_tokens_do_not_exceed_the_rate(
        self, store: Store, let_time_pass: LetTimePass, burst: int, steps: list[int | tuple[int]], bucket: object
    ) -> None:
        """In any order of taking tokens, with ``max_wait`` in hundreds of seconds, and letting time pass."""
        now, given = 0.0, []
        for step in steps:
            if isinstance(step, tuple):
                let_time_pass(step[0] * 100.0)
                now += step[0] * 100.0
            else:
                wait = store.take_token(f"{bucket}", Rate(1000.0, burst), step * 100.0)
                given += [] if wait is None else [now + wait]
        assert given == sorted(given)
        for first, last in zip(given, given[burst:], strict=False):
            assert last - first >= 900.0


class SharingContract(KeyValueContract, NamedLockContract, TokenBucketContract):
    """All contracts of this module."""

"""Contract of Store: many concurrent workers."""

from __future__ import annotations

import random
import threading
import time
from functools import partial

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.models import Turn, TurnState
from gateway.ports.leased_writes import ReleaseLease
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
    answer,
    apply_write,
    enqueue,
    finish,
    run_concurrently,
)


class ConcurrentWorkers:
    """Workers in threads that randomly claim, answer, release and abandon turns."""

    def __init__(self, stores: tuple[Store, Store], expire_lease: ExpireLease, total: int) -> None:
        self.stores = stores
        self.expire = expire_lease
        self.total = total
        self.finished: list[tuple[int, int]] = []
        self.active: set[int] = set()
        self.changed = threading.Condition()
        self.deadline = time.monotonic() + 30

    @property
    def is_running(self) -> bool:
        """Whether work remains. Ends at the deadline, so that the test fails instead of hanging if a turn is lost."""
        return len(self.finished) < self.total and time.monotonic() < self.deadline

    def stop_on_error(self, store: Store, claim: Claim, chance: random.Random) -> None:
        """Processes a claim; an error stops all workers."""
        try:
            self.process_claims(store, claim, chance)
        except BaseException:
            self.deadline = 0.0
            raise

    def enqueue(self, chance: random.Random, count: int) -> None:
        for _ in range(count):
            store = chance.choice(self.stores)
            recorded = enqueue(store, f"{chance.randrange(6)}", owner=chance.choice([None, "speaker"]))
            if recorded.claim is not None:
                self.stop_on_error(store, recorded.claim, chance)

    def work(self, chance: random.Random, owner: str) -> None:
        store = chance.choice(self.stores)
        while self.is_running:
            claims = store.claim(owner, [PLATFORM], chance.randint(1, 3))
            for claim in claims:
                self.stop_on_error(store, claim, chance)
            if not claims:
                with self.changed:
                    self.changed.wait(0.01)

    def process_claims(self, store: Store, claim: Claim, chance: random.Random) -> None:
        following: object = claim
        while isinstance(following, Claim):
            following = self.process_turn(store, following, chance)
            assert following is None or isinstance(following, Claim)

    def process_turn(self, store: Store, claim: Claim, chance: random.Random) -> object:
        with self.changed:
            assert claim.conversation.id not in self.active, "two owners hold one conversation"
            self.active.add(claim.conversation.id)
        if chance.random() < 0.1:
            self.abandon(store, claim, chance)
            return None
        assert isinstance(apply_write(store, answer(claim)), Turn)
        if chance.random() < 0.1:
            self.abandon(store, claim, chance)
            return None
        with self.changed:
            self.finished.append((claim.conversation.id, claim.turn.seq))
        self.release(claim)  # before the write, as another may claim right after it
        return apply_write(store, finish(claim, keep=chance.random() < 0.7))

    def abandon(self, store: Store, claim: Claim, chance: random.Random) -> None:
        self.release(claim)
        if chance.random() < 0.5:
            self.expire(claim.conversation.id)
        else:
            assert apply_write(store, ReleaseLease(claim.lease, not_started=chance.random() < 0.5)) is None

    def release(self, claim: Claim) -> None:
        with self.changed:
            self.active.remove(claim.conversation.id)
            self.changed.notify_all()


class ConcurrencyContract:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_concurrent_workers_finish_every_turn_once_in_order(
        self, store: Store, peer: Store, expire_lease: ExpireLease, seed: int
    ) -> None:
        chance, each = random.Random(seed), 40
        crowd = ConcurrentWorkers((store, peer), expire_lease, total=3 * each)
        speakers = [partial(crowd.enqueue, random.Random(chance.random()), each) for _ in range(3)]
        owners = [partial(crowd.work, random.Random(chance.random()), f"{number}") for number in range(4)]
        run_concurrently([*speakers, *owners])
        assert len(crowd.finished) == crowd.total
        for number in {number for number, _ in crowd.finished}:
            finished = [seq for conversation, seq in crowd.finished if conversation == number]
            turns = store.transcript(number)
            assert finished == [turn.seq for turn in turns] == list(range(1, len(turns) + 1))
            assert {turn.state for turn in turns} == {TurnState.DELIVERED}

"""Tests of PeerLoads."""

from __future__ import annotations

import pytest

from gateway.coordination import peers
from gateway.coordination.peers import MAX_AGE_SECONDS, SLACK, PeerLoads
from gateway.ports.cluster import WorkerLoad


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def loads() -> PeerLoads:
    return PeerLoads("me")


def test_without_others_a_process_claims_everything(loads: PeerLoads) -> None:
    assert loads.share(1000) is None
    loads.hear(WorkerLoad("me", 0, has_capacity=True))
    assert loads.share(1000) is None


def test_a_process_claims_until_it_is_busier_than_the_least_busy_other(loads: PeerLoads) -> None:
    loads.hear(WorkerLoad("one", 10, has_capacity=True))
    loads.hear(WorkerLoad("two", 4, has_capacity=True))
    assert [loads.share(own) for own in (0, 4 + SLACK - 1, 4 + SLACK, 100)] == [4 + SLACK, 1, 0, 0]
    loads.hear(WorkerLoad("two", 50, has_capacity=True))
    assert loads.share(4 + SLACK) == 6


def test_without_slack_it_claims_only_as_many_as_the_least_busy_other(loads: PeerLoads) -> None:
    loads.hear(WorkerLoad("one", 4, has_capacity=True))
    assert [loads.share(own, slack=0) for own in (0, 3, 4, 100)] == [4, 1, 0, 0]


def test_a_process_keeps_its_conversations_until_it_is_far_ahead_of_the_least_busy_other(loads: PeerLoads) -> None:
    assert not loads.is_far_ahead(1000)
    loads.hear(WorkerLoad("one", 100, has_capacity=False))
    loads.hear(WorkerLoad("two", 40, has_capacity=True))
    most = 60 + SLACK
    assert [loads.is_far_ahead(own) for own in (0, most, most + 1)] == [False, False, True]


def test_a_process_without_capacity_is_of_no_help(loads: PeerLoads) -> None:
    loads.hear(WorkerLoad("one", 0, has_capacity=False))
    assert loads.share(100) is None
    assert not loads.is_far_ahead(100)


def test_a_silent_process_is_taken_for_dead(loads: PeerLoads, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(peers, "time", clock)
    loads.hear(WorkerLoad("one", 0, has_capacity=True))
    clock.now += MAX_AGE_SECONDS
    assert loads.share(100) == 0
    clock.now += 0.1
    assert loads.share(100) is None

"""How often each caller may do something, and how often a network is told that its secret is wrong."""

from __future__ import annotations

import pytest

from gateway.domain.errors import Overloaded, Unauthenticated
from gateway.web.api import call_limit
from gateway.web.api.call_limit import MAX_CALLERS, REFUSALS_PER_MINUTE, CallLimit, RefusalLimit


def test_a_minutes_calls_may_come_at_once_and_then_one_each_interval() -> None:
    now = 1000.0
    limit = CallLimit(3, clock=lambda: now)
    for _ in range(3):
        limit.check("ann")
    for _ in range(2):
        with pytest.raises(Overloaded) as refused:
            limit.check("ann")
        assert (refused.value.code, refused.value.retry_after) == ("rate_limited", 20)
    limit.check("bob")
    now += 20.0
    limit.check("ann")
    with pytest.raises(Overloaded):
        limit.check("ann")
    now += 600.0
    for _ in range(3):
        limit.check("ann")
    with pytest.raises(Overloaded):
        limit.check("ann")


def test_without_a_limit_nothing_is_counted() -> None:
    limit = CallLimit(0)
    for _ in range(1000):
        limit.check("ann")


def test_the_callers_that_called_longest_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_limit, "MAX_CALLERS", 2)
    assert MAX_CALLERS > 1000
    limit = CallLimit(1, clock=lambda: 0.0)
    for name in ("ann", "bob", "eve"):
        limit.check(name)
    with pytest.raises(Overloaded):
        limit.check("eve")
    limit.check("ann")


@pytest.mark.parametrize(
    ("proxies", "first", "second", "is_one_network"),
    [
        (0, ("192.0.2.1", "9.9.9.9"), ("192.0.2.1", "8.8.8.8"), True),
        (0, ("192.0.2.1", ""), ("192.0.2.2", ""), False),
        (0, ("2001:db8::1", ""), ("2001:db8::ffff", ""), True),
        (0, ("2001:db8::1", ""), ("2001:db8:0:1::1", ""), False),
        (1, ("192.0.2.1", "7.7.7.7, 9.9.9.9"), ("192.0.2.1", "9.9.9.9"), True),
        (1, ("192.0.2.1", "9.9.9.9"), ("192.0.2.1", "8.8.8.8"), False),
    ],
)
def test_refusals_are_counted_for_each_network_as_the_trusted_proxies_saw_it(
    proxies: int, first: tuple[str, str], second: tuple[str, str], *, is_one_network: bool
) -> None:
    refusals, refusal = RefusalLimit(proxies), Unauthenticated()
    for _ in range(REFUSALS_PER_MINUTE):
        assert refusals.count(refusal, *first) is refusal
    assert isinstance(refusals.count(refusal, *first), Overloaded)
    assert isinstance(refusals.count(refusal, *second), Overloaded) is is_one_network

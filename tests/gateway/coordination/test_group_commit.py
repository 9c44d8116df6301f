"""Tests of GroupCommit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.coordination import group_commit
from gateway.coordination.group_commit import GroupCommit
from gateway.domain.errors import StoreUnavailable


class Committer:
    """Commits when the test says so."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_commit = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.group: GroupCommit[str, str] = GroupCommit(self._commit)

    async def _commit(self, requests: Sequence[str]) -> Sequence[str | Exception]:
        self.groups.append(list(requests))
        await self.may_commit.acquire()
        if self.error is not None:
            raise self.error
        return [ValueError(each) if each.startswith("bad") else each.upper() for each in requests]

    def add(self, *requests: str) -> list[asyncio.Future[str]]:
        return [self.group.add(each) for each in requests]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_while_a_commit_runs_is_the_next_group() -> None:
    committer = Committer()
    first = committer.add("a")
    await settle()
    others = committer.add("b", "c", "d")
    await settle()
    assert committer.groups == [["a"]]
    committer.may_commit.release()
    assert await first[0] == "A"
    await settle()
    assert committer.groups == [["a"], ["b", "c", "d"]]
    assert not any(task.done() for task in others)
    committer.may_commit.release()
    assert await asyncio.gather(*others) == ["B", "C", "D"]


async def test_a_request_on_its_own_is_committed_at_once() -> None:
    committer = Committer()
    for text in ("a", "b"):
        committer.may_commit.release()
        assert await committer.group.add(text) == text.upper()
    assert committer.groups == [["a"], ["b"]]


async def test_an_error_of_one_request_is_raised_to_its_caller_only() -> None:
    committer = Committer()
    committer.may_commit.release()
    good, bad, other = await asyncio.gather(*committer.add("a", "bad", "c"), return_exceptions=True)
    assert (good, other) == ("A", "C")
    assert isinstance(bad, ValueError)


async def test_a_failed_commit_is_raised_to_all_of_its_group_and_the_next_one_is_tried() -> None:
    committer = Committer()
    committer.error = StoreUnavailable("away")
    committer.may_commit.release()
    results = await asyncio.gather(*committer.add("a", "b"), return_exceptions=True)
    assert [type(each) for each in results] == [StoreUnavailable] * 2
    committer.error = None
    committer.may_commit.release()
    assert await committer.group.add("c") == "C"


async def test_a_cancelled_caller_does_not_take_its_request_back() -> None:
    committer = Committer()
    gone, stays = committer.add("a", "b")
    await settle()
    gone.cancel()
    committer.may_commit.release()
    assert await stays == "B"
    assert committer.groups == [["a", "b"]]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_group_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP", 3)
    committer = Committer()
    committer.may_commit = asyncio.Semaphore(9)
    assert await asyncio.gather(*committer.add(*"abcdefgh")) == list("ABCDEFGH")
    assert committer.groups == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]

"""What the preview of every chat platform must do. Subclass, give a scene, and the promises are checked."""

from __future__ import annotations

import asyncio

import pytest

from adapters.base import preview
from gateway.domain.run_events import TextDelta
from tests.contracts.reply_scene import ClosedDelivery, ReplyScene, a_while, deltas
from tests.fakes.platform_faults import HangingCall, RateLimit


class PreviewContract:
    """Give ``scene``, whose preview is a message that is changed, and ``slow_scene``, with a minute between changes."""

    @pytest.fixture
    def scene(self) -> ReplyScene:
        raise NotImplementedError

    @pytest.fixture
    def slow_scene(self) -> ReplyScene:
        raise NotImplementedError

    async def test_a_message_grows_and_is_saved_as_soon_as_it_is_posted(self, scene: ReplyScene) -> None:
        await scene.follow(
            TextDelta("One "),
            lambda: scene.texts() == ["One"],
            lambda: scene.delivery.posted_messages,
            TextDelta("two "),
            lambda: scene.texts() == ["One two"],
        )
        await scene.deliver(scene.answered("One two three"))
        scene.assert_stands("One two three")
        assert scene.count(scene.POST) == 1

    async def test_a_reply_that_is_complete_at_once_is_one_post(self, slow_scene: ReplyScene) -> None:
        await slow_scene.follow(*deltas("A short one."), a_while())
        await slow_scene.deliver(slow_scene.answered("A short one."))
        slow_scene.assert_stands("A short one.")
        assert (slow_scene.count(slow_scene.POST), slow_scene.count(slow_scene.UPDATE)) == (1, 0)

    async def test_what_is_longer_than_a_message_continues_in_the_next(self, scene: ReplyScene) -> None:
        await scene.follow(*deltas(scene.LONG, 900), lambda: len(scene.texts()) == 3)
        await scene.deliver(scene.answered(scene.LONG))
        scene.assert_stands(scene.LONG)
        assert scene.count(scene.POST) == 3

    async def test_a_message_that_shows_the_same_is_not_changed(self, scene: ReplyScene) -> None:
        await scene.follow(TextDelta("Words "), scene.texts, TextDelta(" "), a_while())
        assert scene.count(scene.UPDATE) == 0

    async def test_nothing_is_posted_for_white_space(self, scene: ReplyScene) -> None:
        await scene.follow(TextDelta(" \n"), a_while())
        assert scene.count(scene.POST) == 0

    async def test_without_a_token_the_text_is_shown_with_what_follows(
        self, scene: ReplyScene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preview, "MAX_PAUSE", 0.004)
        delivery = scene.delivery = ClosedDelivery()
        asked = lambda: len(delivery.acquired) > 5  # noqa: E731  # in the order in which it happens
        await scene.follow(TextDelta("Words "), asked, delivery.open, lambda: scene.texts() == ["Words"])

    @pytest.mark.parametrize("update", [True, False])
    async def test_after_a_429_the_preview_waits(self, scene: ReplyScene, *, update: bool) -> None:
        scene.faults.add(scene.UPDATE if update else scene.POST, RateLimit(0))
        await scene.follow(TextDelta("one "), scene.texts, TextDelta("two "), lambda: scene.texts() == ["one two"])
        assert len(scene.delivery.blocked) == 1
        await scene.deliver(scene.answered("one two three"))
        scene.assert_stands("one two three")

    async def test_a_refused_preview_ends_and_saves_nothing(self, scene: ReplyScene) -> None:
        scene.faults.add(scene.POST, scene.REFUSED_FOR_GOOD)
        posted = lambda: scene.count(scene.POST)  # noqa: E731
        await scene.follow(TextDelta("Words "), posted, a_while(), TextDelta("more "), a_while())
        assert scene.count(scene.POST) == 1
        assert scene.delivery.posted_messages == ()
        await scene.deliver(scene.answered("Words more."))
        scene.assert_stands("Words more.")

    async def test_a_lost_lease_ends_the_preview_quietly(self, scene: ReplyScene) -> None:
        scene.delivery.lease_lost = True
        await scene.follow(
            TextDelta("Words "), lambda: scene.delivery.acquired, a_while(), TextDelta("more "), a_while()
        )
        assert scene.count(scene.POST) <= 1
        assert scene.count(scene.UPDATE) == 0

    async def test_activity_that_hangs_holds_the_reply_up_for_a_moment_only(
        self, slow_scene: ReplyScene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preview, "ACTIVITY_GRACE", 0.01)
        slow_scene.faults.add(slow_scene.ACTIVITY, HangingCall())
        async with asyncio.timeout(4):  # before the worker would end it
            await slow_scene.follow(lambda: slow_scene.faults.hanging)
        await slow_scene.deliver(slow_scene.answered("Words."))
        slow_scene.assert_stands("Words.")
        slow_scene.faults.release()

    async def test_a_short_reply_costs_no_call_for_activity(self, slow_scene: ReplyScene) -> None:
        await slow_scene.follow(TextDelta("Words."))
        await slow_scene.deliver(slow_scene.answered("Words."))
        slow_scene.assert_stands("Words.")
        assert slow_scene.count(slow_scene.ACTIVITY) == 0

    async def test_a_preview_that_is_cancelled_leaves_no_task(self, scene: ReplyScene) -> None:
        posted = asyncio.Event()

        def look() -> bool:
            if scene.texts():
                posted.set()
            return False

        following = asyncio.ensure_future(scene.follow(TextDelta("Words "), look))
        await posted.wait()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

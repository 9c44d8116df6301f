"""What the delivery of every chat platform must do. Subclass, give a scene, and the promises are checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.domain.errors import AssistantUnavailable, DeliveryError, LeaseLost, StoreUnavailable
from gateway.domain.files import Content, File
from gateway.domain.run_events import TextDelta
from tests.contracts.reply_scene import ReplyScene
from tests.fakes.platform_faults import ConnectionRefused, HttpStatus, PlatformFault, RateLimit, ResponseLost

CHART, NOTES = File("chart.png", "file-1", "image/png"), File("notes.txt", "file-2", "text/plain")
CONTENT = {"file-1": b"\x89PNG\r\n\x1a\nchart", "file-2": b"notes"}
SHORT = "One two three."


class DeliveryContract:
    """Give ``scene``, whose preview is a message that is changed."""

    @pytest.fixture
    def scene(self) -> ReplyScene:
        raise NotImplementedError

    # ------------------------------------------------------------ without a preview

    @pytest.mark.parametrize("long", [False, True])
    async def test_a_reply_is_posted_once_whole_and_in_order(self, scene: ReplyScene, *, long: bool) -> None:
        reply = scene.LONG if long else SHORT
        assert await scene.deliver(scene.answered(reply)) == 0
        scene.assert_stands(reply)
        assert scene.count(scene.POST) == (3 if long else 1)

    @pytest.mark.parametrize("long", [False, True])
    async def test_a_second_delivery_changes_nothing(self, scene: ReplyScene, *, long: bool) -> None:
        turn = scene.answered(scene.LONG if long else SHORT)
        await scene.deliver(turn)
        before = scene.count(scene.POST)
        await scene.deliver(turn)
        await scene.restart()
        await scene.deliver(turn)
        scene.assert_stands(turn.reply)
        assert scene.count(scene.POST) == before

    async def test_a_pushed_text_is_posted_once_where_its_conversation_is(self, scene: ReplyScene) -> None:
        turn = scene.pushed(scene.LONG)
        assert turn.message.key == scene.turn.message.key
        await scene.deliver(turn)
        await scene.restart()
        await scene.deliver(turn)
        scene.assert_stands(scene.LONG)
        assert scene.count(scene.POST) == 3

    async def test_a_failure_is_one_message(self, scene: ReplyScene) -> None:
        await scene.deliver(scene.failed("That did not work."))
        assert scene.texts() == ["That did not work."]

    async def test_a_cancelled_turn_posts_nothing(self, scene: ReplyScene) -> None:
        await scene.deliver(scene.cancelled())
        assert scene.texts() == []

    async def test_a_lost_lease_is_raised(self, scene: ReplyScene) -> None:
        scene.delivery.lease_lost = True
        with pytest.raises(LeaseLost):
            await scene.deliver(scene.answered(SHORT))

    async def test_a_database_that_is_away_puts_the_delivery_off(self, scene: ReplyScene) -> None:
        async def away() -> None:
            scene.delivery.before_save = None
            raise StoreUnavailable

        scene.delivery.before_save = away
        assert await scene.deliver(scene.answered(SHORT)) == 1
        scene.assert_stands(SHORT)

    async def test_without_a_token_nothing_is_posted_and_the_delivery_is_put_off(self, scene: ReplyScene) -> None:
        scene.delivery.exhausted_buckets.add(scene.post_bucket)
        with pytest.raises(DeliveryError) as caught:
            await scene.replies.deliver(scene.answered(SHORT), scene.delivery)
        assert caught.value.retry_after
        assert (scene.texts(), scene.delivery.posted_messages) == ([], ())

    async def test_a_429_puts_the_delivery_off_for_as_long_as_it_says(self, scene: ReplyScene) -> None:
        scene.faults.add(scene.POST, RateLimit(7))
        with pytest.raises(DeliveryError) as caught:
            await scene.replies.deliver(scene.answered(SHORT), scene.delivery)
        assert caught.value.retry_after == 7
        assert [seconds for _, seconds in scene.delivery.blocked] == [7.0]
        assert scene.delivery.posted_messages == ()
        await scene.deliver(scene.answered(SHORT))
        scene.assert_stands(SHORT)

    # ------------------------------------------------------------ after a preview

    @pytest.mark.parametrize("reply", ["Some words and more.", "Something else.", None])
    async def test_a_preview_becomes_the_reply(self, scene: ReplyScene, reply: str | None) -> None:
        await scene.previewed()
        await scene.deliver(scene.answered(reply or scene.LONG))
        scene.assert_stands(reply or scene.LONG)

    async def test_a_preview_that_shows_the_whole_reply_is_left_alone(self, scene: ReplyScene) -> None:
        await scene.deliver(scene.answered(SHORT))
        updates = scene.count(scene.UPDATE)
        await scene.deliver(scene.answered(SHORT))
        assert scene.count(scene.UPDATE) == updates

    async def test_surplus_messages_are_deleted_and_the_first_becomes_the_failure(self, scene: ReplyScene) -> None:
        await scene.follow(TextDelta(scene.LONG), lambda: len(scene.texts()) == 3)
        await scene.deliver(scene.failed("That did not work."))
        assert scene.texts() == ["That did not work."]
        assert scene.count(scene.DELETE) == 2

    async def test_the_preview_of_a_cancelled_turn_stays_and_says_once_that_it_was_stopped(
        self, scene: ReplyScene
    ) -> None:
        await scene.previewed()
        for _ in range(2):
            await scene.deliver(scene.cancelled())
        scene.assert_stopped("Some words")
        assert scene.count(scene.UPDATE) == 1

    async def test_a_preview_of_a_cancelled_turn_that_cannot_be_changed_stays(self, scene: ReplyScene) -> None:
        await scene.previewed()
        scene.faults.add(scene.UPDATE, scene.REFUSED_FOR_GOOD)
        await scene.deliver(scene.cancelled())
        assert scene.texts() == ["Some words"]

    async def test_what_a_dead_process_showed_of_a_cancelled_turn_stays(self, scene: ReplyScene) -> None:
        await scene.previewed()
        await scene.restart()
        await scene.deliver(scene.cancelled())
        assert scene.texts() == ["Some words"]

    @pytest.mark.parametrize("number", [0, -1])
    async def test_a_message_that_a_person_deleted_is_posted_anew_and_in_order(
        self, scene: ReplyScene, number: int
    ) -> None:
        await scene.follow(TextDelta(scene.LONG), lambda: len(scene.texts()) == 3)
        scene.erase(number)
        another = scene.LONG.replace("words and", "words or")  # a deleted message is noticed when it is to be changed
        await scene.deliver(scene.answered(another))
        scene.assert_stands(another)

    @pytest.mark.parametrize("outcome", ["another", "failure", "cancelled"])
    @pytest.mark.parametrize("fault", [ResponseLost(), HttpStatus(500), RateLimit(0), ConnectionRefused()], ids=str)
    @pytest.mark.parametrize("update", [True, False])
    async def test_a_fault_costs_nothing_when_what_was_shown_is_not_the_outcome(
        self, scene: ReplyScene, outcome: str, fault: PlatformFault, *, update: bool
    ) -> None:
        await scene.follow(TextDelta(scene.LONG), lambda: len(scene.texts()) == 3)
        scene.faults.add(scene.UPDATE if update else scene.DELETE, fault)
        if outcome == "cancelled":
            await scene.deliver(scene.cancelled())
            assert len(scene.texts()) == 3
        elif outcome == "failure":
            await scene.deliver(scene.failed("That did not work."))
            assert scene.texts() == ["That did not work."]
        else:
            await scene.deliver(scene.answered(SHORT))
            scene.assert_stands(SHORT)

    # ------------------------------------------------------------ refusals

    async def test_content_that_is_refused_is_posted_in_a_plainer_form(self, scene: ReplyScene) -> None:
        scene.faults.add(scene.POST, scene.REFUSED_CONTENT)
        await scene.deliver(scene.answered("Very **bold**."))
        assert scene.texts() == [scene.plain("Very **bold**.")]

    async def test_a_refused_change_of_the_preview_is_made_in_a_plainer_form(self, scene: ReplyScene) -> None:
        await scene.previewed()
        posts = scene.count(scene.POST)
        scene.faults.add(scene.UPDATE, scene.REFUSED_CONTENT)
        await scene.deliver(scene.answered("Very **bold**."))
        assert scene.texts() == [scene.plain("Very **bold**.")]
        assert scene.count(scene.POST) == posts

    async def test_what_is_refused_for_good_is_raised_for_the_operator(self, scene: ReplyScene) -> None:
        scene.faults.add(scene.POST, scene.REFUSED_FOR_GOOD)
        with pytest.raises(DeliveryError) as caught:
            await scene.deliver(scene.answered(SHORT))
        assert caught.value.retry_after is None
        assert scene.count(scene.POST) == 1
        assert scene.delivery.posted_messages == ()

    # ------------------------------------------------------------ files

    async def test_files_follow_the_text_in_order_and_are_sent_once(self, scene: ReplyScene) -> None:
        scene.delivery.files = CONTENT
        turn = scene.answered("Here.", CHART, NOTES)
        await scene.deliver(turn)
        await scene.deliver(turn)
        await scene.restart()
        await scene.deliver(turn)
        assert (scene.texts(), scene.files()) == (["Here."], [CHART.name, NOTES.name])
        assert [entry.startswith("file:") for entry in scene.delivery.posted_messages] == [False, True, True]

    async def test_a_reply_may_be_only_a_file(self, scene: ReplyScene) -> None:
        scene.delivery.files = CONTENT
        await scene.deliver(scene.answered("", NOTES))
        assert (scene.texts(), scene.files()) == ([], [NOTES.name])

    @pytest.mark.parametrize("left", [{"file-2": b"notes"}, {**CONTENT, "file-1": b""}], ids=["gone", "empty"])
    async def test_a_missing_file_is_named_and_the_others_are_sent(
        self, scene: ReplyScene, left: dict[str, bytes]
    ) -> None:
        scene.delivery.files = left
        turn = scene.answered("Here.", CHART, NOTES)
        await scene.deliver(turn)
        await scene.restart()
        await scene.deliver(turn)
        assert scene.texts() == ["Here.", f"The file {CHART.name} could not be brought here."]
        assert scene.files() == [NOTES.name]

    @pytest.mark.parametrize(("failures", "comes"), [(2, True), (3, False)])
    async def test_a_file_that_the_assistant_does_not_return_now_is_fetched_again_a_few_times(
        self, scene: ReplyScene, failures: int, *, comes: bool
    ) -> None:
        scene.delivery.files = CONTENT
        fetch, left = scene.delivery.read_file, iter(range(failures))

        @asynccontextmanager
        async def busy(file: File) -> AsyncIterator[Content]:
            if next(left, None) is not None:
                raise AssistantUnavailable
            async with fetch(file) as content:
                yield content

        scene.delivery.read_file = busy  # type: ignore[method-assign]  # a fake that fails
        assert await scene.deliver(scene.answered("Here.", NOTES)) == 2
        assert bool(scene.files()) is comes
        assert len(scene.texts()) == (1 if comes else 2)

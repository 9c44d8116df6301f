"""What stands in Slack once a turn is delivered, and how it got there."""

from __future__ import annotations

import pytest

from adapters.slack import formatter
from adapters.slack.posted_reply import SlackReply
from gateway.domain.errors import DeliveryError
from gateway.domain.models import MessageKind
from gateway.domain.run_events import TextDelta, ToolCall
from tests.adapters.slack.reply_scene import MakeScene, SlackScene
from tests.fakes.slack_events import TEAM
from tests.fakes.slack_server import FakeSlack, SlackErrorFault

START, APPEND, STOP = "chat.startStream", "chat.appendStream", "chat.stopStream"
POST, UPDATE, DELETE = "chat.postMessage", "chat.update", "chat.delete"
LOOK, HISTORY = "conversations.replies", "conversations.history"
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 60 for number in range(40))
"""Some forty thousand bytes."""


@pytest.fixture
def scene(make: MakeScene) -> SlackScene:
    return make()


def methods(slack: FakeSlack) -> list[str]:
    return [call.method for call in slack.calls()]


# ---------------------------------------------------------------- posted


async def test_a_reply_is_one_post_in_the_thread_as_markdown_with_buttons_and_a_note(
    slack: FakeSlack, scene: SlackScene
) -> None:
    await scene.deliver(scene.answered("**Hello**, you & <you>."))
    scene.assert_stands("**Hello**, you & <you>.")
    assert methods(slack) == [POST]
    (posted,) = scene.said()
    assert posted.thread_ts == scene.asked_ts
    assert [block["type"] for block in posted.blocks] == ["markdown", "context_actions"]
    assert slack.calls(POST)[0].args["text"]
    assert scene.delivery.saved_progress == [(posted.ts,)]


async def test_a_long_reply_is_several_posts_in_order_with_buttons_under_the_last(scene: SlackScene) -> None:
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)
    kinds = [[block["type"] for block in posted.blocks] for posted in scene.said()]
    assert len(kinds) > 3
    assert kinds == [["markdown"]] * (len(kinds) - 1) + [["markdown", "context_actions"]]


async def test_without_a_thread_it_stands_in_the_channel(make: MakeScene) -> None:
    scene = make(threaded=False, channel="C0CHAN")
    await scene.deliver(scene.answered("Hello."))
    assert scene.said()[0].thread_ts is None
    scene.assert_stands("Hello.")


@pytest.mark.parametrize(
    ("kind", "feedback"), [(MessageKind.STOP, True), (MessageKind.RESET, True), (MessageKind.PROMPT, False)]
)
async def test_buttons_are_for_what_the_assistant_says_where_they_are_wanted(
    make: MakeScene, kind: MessageKind, *, feedback: bool
) -> None:
    scene = make(settings={"slack_feedback": feedback})
    scene.of_kind(kind)
    await scene.deliver(scene.answered("Stopped."))
    assert [block["type"] for block in scene.said()[0].blocks] == ["markdown"]


async def test_the_sentence_of_a_failure_is_plain_and_asks_nothing(scene: SlackScene) -> None:
    await scene.deliver(scene.failed("It failed & <stopped>."))
    (posted,) = scene.said()
    assert posted.text == "It failed &amp; &lt;stopped&gt;."
    assert not posted.blocks


# ---------------------------------------------------------------- after a preview


async def test_what_was_streamed_is_ended_with_the_rest(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    await scene.deliver(scene.answered("One two three."))
    scene.assert_stands("One two three.")
    (stop,) = slack.calls(STOP)
    assert stop.args["chunks"] == [{"type": "markdown_text", "text": " three."}]
    assert [block["type"] for block in scene.said()[0].blocks] == ["context_actions"]
    assert not scene.said()[0].edited


async def test_what_was_streamed_and_is_long_goes_on_in_posts(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(TextDelta(LONG[:100]), scene.texts)
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)
    assert slack.calls(UPDATE) == []


@pytest.mark.parametrize("reply", ["Something else.", LONG])
async def test_what_was_streamed_of_another_run_becomes_the_reply(scene: SlackScene, reply: str) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    await scene.deliver(scene.answered(reply))
    scene.assert_stands(reply)


async def test_a_failure_takes_the_place_of_what_was_streamed(scene: SlackScene) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    await scene.deliver(scene.failed("That did not work."))
    scene.assert_stand(["That did not work."])


async def test_a_failure_after_a_tool_ends_the_stream_with_its_sentence(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(ToolCall("c", "search"), scene.said)
    await scene.deliver(scene.failed("That did not work."))
    scene.assert_stand(["That did not work."])
    assert scene.said()[0].stream_chunks[-2]["status"] == "error"
    assert slack.calls(UPDATE) == []


async def test_too_many_parts_are_deleted(slack: FakeSlack, scene: SlackScene) -> None:
    shown = lambda: len(scene.said()) > 3  # noqa: E731
    await scene.follow(TextDelta(LONG), shown)
    await scene.deliver(scene.answered("Only this."))
    scene.assert_stands("Only this.")
    assert len(slack.calls(DELETE)) > 2


async def test_a_stream_that_was_cancelled_stays_and_says_so(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(TextDelta("```\nOne two "), scene.texts)
    for _ in range(2):
        await scene.deliver(scene.cancelled())
    scene.assert_stand(["```\nOne two"])
    assert "_Stopped._" in str(scene.said()[0].blocks)
    assert len(slack.calls(STOP)) == 1
    assert slack.calls(UPDATE) == []


async def test_a_cancelled_stream_of_an_earlier_process_is_ended(scene: SlackScene) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    await scene.restart()
    await scene.deliver(scene.cancelled())
    (posted,) = scene.said()
    assert (posted.text, posted.streaming) == ("One two", False)


@pytest.mark.parametrize("number", [0, -1])
async def test_a_preview_that_a_person_deleted_is_posted_anew_and_in_order(
    slack: FakeSlack, scene: SlackScene, number: int
) -> None:
    shown = lambda: any(posted.streaming for posted in scene.said())  # noqa: E731
    await scene.follow(TextDelta(LONG), shown)
    slack.user_deletes(scene.said()[number].ts)
    await scene.deliver(scene.answered("Another. " + LONG))
    scene.assert_stands("Another. " + LONG)


@pytest.mark.parametrize("code", ["edit_window_closed", "cant_update_message", "message_not_found"])
async def test_a_message_that_cannot_be_changed_is_replaced(make: MakeScene, slack: FakeSlack, code: str) -> None:
    scene = make(settings={"slack_preview": "update"})
    await scene.follow(TextDelta("One two "), scene.texts)
    slack.faults.add(UPDATE, SlackErrorFault(code, times=None))
    await scene.deliver(scene.answered("One two three."))
    scene.assert_stands("One two three.")


# ---------------------------------------------------------------- what Slack does not take


@pytest.mark.parametrize("code", ["invalid_blocks", "msg_blocks_too_long", "msg_too_long", "invalid_blocks_format"])
async def test_what_slack_does_not_take_as_blocks_is_said_plainly_and_whole(
    slack: FakeSlack, scene: SlackScene, code: str
) -> None:
    slack.faults.add(POST, SlackErrorFault(code))
    await scene.deliver(scene.answered(LONG))
    pieces = formatter.pieces(LONG)
    scene.assert_stand([*formatter.plain(pieces[0]), *pieces[1:]])


@pytest.mark.parametrize("code", ["msg_too_long", "invalid_blocks", "message_not_in_streaming_state"])
async def test_a_stream_that_does_not_take_the_rest_is_ended_and_changed(
    slack: FakeSlack, scene: SlackScene, code: str
) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    slack.faults.add(STOP, SlackErrorFault(code))
    slack.expire_streams() if code == "message_not_in_streaming_state" else None
    await scene.deliver(scene.answered("One two three."))
    scene.assert_stands("One two three.")


async def test_a_piece_that_is_plain_after_a_stream_is_said_plainly(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(TextDelta("One **two** "), scene.texts)
    slack.faults.add(STOP, SlackErrorFault("msg_too_long"))
    slack.faults.add(UPDATE, SlackErrorFault("invalid_blocks"))
    await scene.deliver(scene.answered("One **two** three."))
    scene.assert_stand(["One *two* three."])


@pytest.mark.parametrize("code", ["is_archived", "channel_not_found", "missing_scope", "restricted_action"])
async def test_what_slack_refuses_for_good_is_told_to_the_operator(
    slack: FakeSlack, scene: SlackScene, code: str
) -> None:
    slack.faults.add(POST, SlackErrorFault(code))
    with pytest.raises(DeliveryError, match=code) as caught:
        await scene.deliver(scene.answered("Hello."))
    assert caught.value.retry_after is None


@pytest.mark.parametrize("code", ["token_revoked", "invalid_auth", "account_inactive"])
async def test_a_token_that_slack_does_not_take_is_forgotten(slack: FakeSlack, scene: SlackScene, code: str) -> None:
    slack.revoke_token(code=code)
    with pytest.raises(DeliveryError, match=code):
        await scene.deliver(scene.answered("Hello."))
    assert scene.workspaces.dropped == [TEAM]


async def test_where_the_app_is_not_installed_the_turn_ends_with_a_reason(scene: SlackScene) -> None:
    scene.workspaces.problem = DeliveryError("The app is not installed.")
    with pytest.raises(DeliveryError, match="not installed"):
        await scene.deliver(scene.answered("Hello."))


# ---------------------------------------------------------------- looking


async def test_who_goes_on_for_another_process_looks_first_and_posts_what_is_missing(
    slack: FakeSlack, scene: SlackScene
) -> None:
    await scene.restart()
    await scene.deliver(scene.answered("Hello."))
    assert methods(slack)[:2] == [LOOK, POST]
    scene.assert_stands("Hello.")


@pytest.mark.parametrize("known_bot", [True, False])
async def test_a_stream_that_nobody_noted_is_found(slack: FakeSlack, make: MakeScene, *, known_bot: bool) -> None:
    scene = make(known_bot=known_bot)
    await scene.follow(TextDelta("One two "), scene.texts)
    scene.delivery.posted_messages = ()
    await scene.restart()
    await scene.deliver(scene.answered("Another reply."))
    scene.assert_stands("Another reply.")
    assert len(scene.said()) == 1


async def test_a_reply_to_another_message_in_the_thread_is_left_alone(make: MakeScene, slack: FakeSlack) -> None:
    earlier = make(channel="C0CHAN")
    later_ts = slack.user_says("And this?", channel="C0CHAN", thread_ts=earlier.asked_ts)
    await earlier.follow(TextDelta("One two "), earlier.texts)
    await earlier.deliver(earlier.answered("One two three."))
    slack.user_says("A person's words.", channel="C0CHAN", thread_ts=earlier.asked_ts)
    later = make(channel="C0CHAN", asked_ts=later_ts)
    later.turn.message.address["thread_ts"] = earlier.asked_ts  # type: ignore[index]  # a plain dict
    await later.restart()
    await later.deliver(later.answered("Later."))
    assert [posted.text for posted in slack.bot_messages("C0CHAN", earlier.asked_ts)] == ["One two three.", "Later."]


async def test_a_stream_that_stood_before_another_reply_is_not_taken_for_ours(
    make: MakeScene, slack: FakeSlack
) -> None:
    earlier = make(channel="C0CHAN")
    later_ts = slack.user_says("And this?", channel="C0CHAN", thread_ts=earlier.asked_ts)
    await earlier.follow(TextDelta("Nobody ended this "), earlier.texts)
    other = make(channel="C0CHAN", asked_ts=earlier.asked_ts)
    await other.deliver(other.answered("A reply."))
    later = make(channel="C0CHAN", asked_ts=later_ts)
    later.turn.message.address["thread_ts"] = earlier.asked_ts  # type: ignore[index]  # a plain dict
    await later.restart()
    await later.deliver(later.answered("Later."))
    said = [posted.text for posted in slack.bot_messages("C0CHAN", earlier.asked_ts)]
    assert said == ["Nobody ended this", "A reply.", "Later."]


async def test_in_a_thread_of_several_conversations_a_stream_without_a_mark_is_left_alone(
    make: MakeScene, slack: FakeSlack
) -> None:
    other = make(channel="C0CHAN")
    scene = make(channel="C0CHAN", key_user="U0ANN", asked_ts=other.asked_ts)
    await other.follow(TextDelta("One two "), other.texts)
    await scene.restart()
    await scene.deliver(scene.answered("Mine."))
    assert sorted(posted.text for posted in slack.bot_messages("C0CHAN", other.asked_ts)) == ["Mine.", "One two"]


async def test_without_a_thread_it_looks_in_the_channel(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(threaded=False, channel="C0CHAN")
    await scene.deliver(scene.answered("Hello."))
    slack.user_says("Something else.", channel="C0CHAN")
    scene.delivery.posted_messages = ()
    await scene.restart()
    await scene.deliver(scene.answered("Hello."))
    scene.assert_stands("Hello.")
    assert HISTORY in methods(slack)
    assert methods(slack).count(POST) == 1


async def test_a_long_thread_is_looked_through_to_its_end(
    slack: FakeSlack, scene: SlackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.history_lookup.PAGE_SIZE", 3)
    for number in range(7):
        slack.user_says(f"Chatter {number}", channel=scene.channel, thread_ts=scene.asked_ts)
    await scene.deliver(scene.answered("Hello."))
    scene.delivery.posted_messages = ()
    await scene.restart()
    await scene.deliver(scene.answered("Hello."))
    scene.assert_stands("Hello.")


@pytest.mark.parametrize("code", ["missing_scope", "not_in_channel"])
async def test_who_may_not_look_goes_by_what_was_noted(slack: FakeSlack, scene: SlackScene, code: str) -> None:
    slack.faults.add(LOOK, SlackErrorFault(code, times=None))
    await scene.follow(TextDelta("One two "), scene.texts)
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)


def test_what_a_release_saved_is_read_by_the_next() -> None:
    entries = ("1.2", "1.3", "file:F1", "file:1.4", "file:?F2")
    reply = SlackReply()
    reply.restore(entries)
    assert [message.ts for message in reply.messages] == ["1.2", "1.3"]
    assert reply.files == ["F1", "1.4", "?F2"]
    assert tuple(reply.entries()) == entries

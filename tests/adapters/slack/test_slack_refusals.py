"""Whatever Slack refuses, the person gets the whole reply or one sentence, and nothing stays open."""

from __future__ import annotations

import pytest

from adapters.slack import formatter, preview
from adapters.slack.error_map import FINAL, TABLE, UNTHREADABLE
from adapters.slack.reconciler import NOT_TAKEN
from gateway.domain.errors import DeliveryError
from gateway.domain.files import File
from gateway.domain.run_events import TextDelta, ToolCall
from tests.adapters.slack.reply_scene import MakeScene, SlackScene
from tests.fakes.simulated_crash import CrashAfterSteps
from tests.fakes.slack_server import FakeSlack, ResponseLost, SlackErrorFault

START, STOP = "chat.startStream", "chat.stopStream"
POST, UPDATE, DELETE = "chat.postMessage", "chat.update", "chat.delete"
SESSION = "agents.sessions.setStatus"
UNKNOWN = "a_code_of_next_year"
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 60 for number in range(12))
CHART = File("chart.png", "file-1", "image/png")


def always(code: str) -> SlackErrorFault:
    return SlackErrorFault(code, times=None)


@pytest.fixture
def scene(make: MakeScene) -> SlackScene:
    return make()


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack shows its button at once."""
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0.01)


def channel_posts(slack: FakeSlack, channel: str) -> list[str]:
    return [posted.text for posted in slack.bot_messages(channel) if posted.thread_ts is None]


# ---------------------------------------------------------------- threads


@pytest.mark.parametrize("code", sorted(UNTHREADABLE))
async def test_a_reply_that_no_thread_takes_stands_beside_it_once(slack: FakeSlack, make: MakeScene, code: str) -> None:
    scene = make(channel="C0CHAN")
    slack.faults.add(POST, SlackErrorFault(code))
    await scene.deliver(scene.answered("Good morning."))
    assert channel_posts(slack, "C0CHAN") == ["Good morning."]
    assert len(slack.calls(POST)) == 2
    assert scene.said() == []


async def test_in_a_channel_without_threads_the_preview_the_reply_and_its_files_stand_in_it(
    slack: FakeSlack, make: MakeScene, busy: None
) -> None:
    slack.add_channel("C0FLAT", threadable=False)
    scene = make(channel="C0FLAT")
    scene.delivery.files = {"file-1": b"png"}
    await scene.follow(TextDelta(LONG[:100]), lambda: slack.calls(START))
    await scene.deliver(scene.answered(LONG, CHART, File("lost.png", "file-2")))
    *texts, chart, lost = channel_posts(slack, "C0FLAT")
    assert [text.strip() for text in texts] == [piece.strip() for piece in formatter.pieces(LONG)]
    assert (chart, lost) == ("", "The file lost.png could not be brought here.")
    assert [file.name for posted in slack.bot_messages("C0FLAT") for file in posted.files] == ["chart.png"]


async def test_a_file_alone_leaves_the_thread_as_well(slack: FakeSlack, make: MakeScene) -> None:
    slack.add_channel("C0FLAT", threadable=False)
    scene = make(channel="C0FLAT")
    scene.delivery.files = {"file-1": b"png"}
    await scene.deliver(scene.answered("", CHART))
    assert [file.name for posted in slack.bot_messages("C0FLAT") for file in posted.files] == ["chart.png"]
    assert scene.delivery.posted_messages[0].startswith("file:F")


async def test_a_post_beside_the_thread_whose_answer_is_lost_is_looked_for(slack: FakeSlack, make: MakeScene) -> None:
    slack.add_channel("C0FLAT", threadable=False)
    scene = make(channel="C0FLAT")
    slack.faults.add(POST, ResponseLost(skip=1))
    await scene.deliver(scene.answered("Good morning."))
    assert channel_posts(slack, "C0FLAT") == ["Good morning."]


@pytest.mark.parametrize("step", range(1, 10))
async def test_whenever_a_process_dies_the_reply_stands_once_in_a_channel_without_threads(
    slack: FakeSlack, make: MakeScene, step: int
) -> None:
    slack.add_channel("C0FLAT", threadable=False)
    scene = make(channel="C0FLAT")
    turn = scene.answered("Good morning.")
    await scene.lives(CrashAfterSteps(step), (), turn)
    await scene.restart()
    await scene.deliver(turn)
    assert channel_posts(slack, "C0FLAT") == ["Good morning."]


# ---------------------------------------------------------------- the end of a stream


@pytest.mark.parametrize("code", ["team_not_found", "restricted_action", "invalid_arguments", UNKNOWN])
@pytest.mark.parametrize("update", [None, "streaming_state_conflict", "team_not_found", UNKNOWN])
@pytest.mark.parametrize("tool", [False, True])
async def test_a_stream_that_slack_does_not_end_is_changed_or_replaced(
    slack: FakeSlack, scene: SlackScene, code: str, update: str | None, *, tool: bool
) -> None:
    begun = (ToolCall("c", "search"), scene.said) if tool else ()
    await scene.follow(*begun, TextDelta("One two "), lambda: "One" in "".join(scene.texts()))
    slack.faults.add(STOP, always(code))
    if update:
        slack.faults.add(UPDATE, always(update))
    else:
        slack.faults.before(UPDATE, lambda _: slack.expire_streams())
    await scene.deliver(scene.answered("One two three."))
    scene.assert_stands("One two three.")


@pytest.mark.parametrize("code", ["team_not_found", UNKNOWN])
async def test_a_stream_that_is_refused_once_is_ended_bare(slack: FakeSlack, scene: SlackScene, code: str) -> None:
    await scene.follow(ToolCall("c", "search"), scene.said, TextDelta("One two "), scene.texts)
    slack.faults.add(STOP, SlackErrorFault(code, times=2))
    await scene.deliver(scene.answered("One two three."))
    scene.assert_stands("One two three.")
    assert "chunks" not in slack.calls(STOP)[-1].args


async def test_where_not_even_the_half_message_can_be_deleted_the_whole_reply_stands_below_it(
    slack: FakeSlack, scene: SlackScene
) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    for method in (STOP, UPDATE, DELETE):
        slack.faults.add(method, always(UNKNOWN))
    await scene.deliver(scene.answered("One two three."))
    assert scene.texts() == ["One two", "One two three."]


async def test_a_cancelled_stream_that_slack_does_not_end_costs_no_error(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(TextDelta("One two "), scene.texts)
    slack.faults.add(STOP, always(UNKNOWN))
    await scene.deliver(scene.cancelled())
    assert scene.texts() == ["One two"]


# ---------------------------------------------------------------- the last resort


@pytest.mark.parametrize("code", [UNKNOWN, "invalid_arguments", "feature_not_enabled"])
async def test_what_no_list_knows_is_said_plainly_and_then_outside_of_the_thread(
    slack: FakeSlack, make: MakeScene, code: str
) -> None:
    scene = make(channel="C0CHAN")
    slack.faults.add(POST, SlackErrorFault(code, times=2))
    await scene.deliver(scene.answered("**Good** morning."))
    assert channel_posts(slack, "C0CHAN") == ["*Good* morning."]


@pytest.mark.parametrize("code", [UNKNOWN, "msg_too_long"])
async def test_a_reply_that_slack_takes_in_no_form_is_one_sentence(
    slack: FakeSlack, scene: SlackScene, code: str
) -> None:
    slack.faults.add(POST, SlackErrorFault(code, times=2 if code == "msg_too_long" else 3))
    with pytest.raises(DeliveryError, match=code) as caught:
        await scene.deliver(scene.answered("Good morning."))
    assert caught.value.retry_after is None
    assert [posted.text for posted in slack.bot_messages(scene.channel)] == [NOT_TAKEN]


async def test_the_sentence_stands_once_though_the_refusal_is_repeated(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(threaded=False)
    for refused in (2, 1):
        slack.faults.add(POST, SlackErrorFault("msg_too_long", times=refused))
        with pytest.raises(DeliveryError, match="msg_too_long"):
            await scene.deliver(scene.answered("Good morning."))
        slack.faults.add(UPDATE, always("msg_too_long"))
    assert scene.texts() == [NOT_TAKEN]


@pytest.mark.parametrize("code", ["restricted_action", "is_archived", "missing_scope", "msg_too_long", UNKNOWN])
async def test_after_a_final_refusal_the_button_is_gone(
    slack: FakeSlack, scene: SlackScene, busy: None, code: str
) -> None:
    await scene.follow(lambda: slack.session_statuses(scene.channel, scene.asked_ts))
    slack.faults.add(POST, always(code))
    with pytest.raises(DeliveryError, match=code):
        await scene.deliver(scene.answered("Good morning."))
    assert slack.session_statuses(scene.channel, scene.asked_ts)[-1] == "active"


async def test_after_a_final_refusal_the_status_is_gone(slack: FakeSlack, make: MakeScene, busy: None) -> None:
    scene = make(channel="C0CHAN")
    await scene.follow(lambda: slack.statuses("C0CHAN", scene.asked_ts))
    slack.faults.add(POST, always("restricted_action"))
    with pytest.raises(DeliveryError):
        await scene.deliver(scene.answered("Good morning."))
    assert slack.statuses("C0CHAN", scene.asked_ts)[-1] == ""
    assert len(slack.calls(POST)) == 1  # of what is refused for good nothing else is tried


async def test_what_streams_when_a_reply_is_refused_does_not_stay_open(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(TextDelta(LONG), lambda: len(scene.said()) > 1 and scene.said()[-1].streaming)
    slack.faults.add(UPDATE, always("is_archived"))
    slack.faults.add(DELETE, always("is_archived"))
    with pytest.raises(DeliveryError, match="is_archived"):
        await scene.deliver(scene.answered("Another reply. " * 50))
    assert not any(posted.streaming for posted in scene.said())


def test_the_lists_of_refusals_are_of_the_table() -> None:
    assert set(TABLE) >= FINAL | UNTHREADABLE
    assert not FINAL & UNTHREADABLE
    assert {"is_archived", "restricted_action", "token_revoked", "not_in_channel"} <= FINAL

"""A reply while it is written: what Slack shows of it, what that costs, and what a refusal makes of it."""

from __future__ import annotations

import pytest

from adapters.slack import preview
from gateway.domain.errors import DeliveryError
from gateway.domain.run_events import TextDelta, ToolCall
from tests.adapters.slack.reply_scene import MakeScene, SlackScene, Stingy, scenes
from tests.contracts.reply_scene import Told, deltas
from tests.fakes.slack_events import TEAM, USER
from tests.fakes.slack_server import FakeSlack, RateLimit, SlackErrorFault

START, APPEND, STOP = "chat.startStream", "chat.appendStream", "chat.stopStream"
POST, UPDATE = "chat.postMessage", "chat.update"
STATUS, SESSION = "assistant.threads.setStatus", "agents.sessions.setStatus"


@pytest.fixture
def scene(make: MakeScene) -> SlackScene:
    return make()


def methods(slack: FakeSlack) -> list[str]:
    return [call.method for call in slack.calls()]


async def test_a_reply_grows_word_by_word_and_is_noted_as_soon_as_it_stands(
    slack: FakeSlack, scene: SlackScene
) -> None:
    seen: list[str] = []

    def stands(words: str) -> bool:
        seen.extend(scene.texts())
        return scene.texts() == [words]

    await scene.follow(
        TextDelta("One two thr"),
        lambda: stands("One two"),
        lambda: scene.delivery.saved_progress == [(scene.said()[0].ts,)],
        TextDelta("ee four fi"),
        lambda: stands("One two three four"),
        TextDelta("ve"),
    )
    assert set(seen) <= {"One two", "One two three four"}
    assert scene.said()[0].streaming
    await scene.deliver(scene.answered("One two three four five"))
    scene.assert_stands("One two three four five")
    assert (scene.count(START), scene.count(STOP), scene.count(POST), scene.count(UPDATE)) == (1, 1, 0, 0)


async def test_a_stream_is_for_the_one_who_asked(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(channel="C0CHAN")
    await scene.follow(TextDelta("Some words "), scene.texts)
    (call,) = slack.calls(START)
    assert (call.args["recipient_team_id"], call.args["recipient_user_id"]) == (TEAM, USER)
    assert call.args["thread_ts"] == scene.asked_ts


async def test_a_reply_that_is_over_at_once_is_one_call(
    slack: FakeSlack, make: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make(settings={"slack_stream_seconds": 60})
    await scene.follow(*deltas("A short one."))
    await scene.deliver(scene.answered("A short one."))
    scene.assert_stands("A short one.")
    assert methods(slack) == [POST]


async def test_the_status_comes_and_goes_with_the_reply(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(channel="C0CHAN")
    await scene.follow(lambda: slack.statuses("C0CHAN", scene.asked_ts) == ["is thinking…"])
    assert slack.shown_status("C0CHAN", scene.asked_ts) == "is thinking…"
    await scene.deliver(scene.answered("Done."))
    assert slack.shown_status("C0CHAN", scene.asked_ts) == ""


async def test_a_status_is_taken_away_when_nothing_is_said(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(channel="C0CHAN")
    await scene.follow(lambda: slack.statuses("C0CHAN", scene.asked_ts))
    await scene.deliver(scene.cancelled())
    assert slack.statuses("C0CHAN", scene.asked_ts) == ["is thinking…", ""]
    assert scene.said() == []


async def test_a_turn_that_is_stopped_before_a_status_was_shown_ends_without_a_word(
    slack: FakeSlack, scene: SlackScene
) -> None:
    await scene.deliver(scene.cancelled())
    assert methods(slack) == []


async def test_an_idle_turn_is_one_call_wherever_it_is(
    slack: FakeSlack, make: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0.001)
    for channel, method in {"D0DM": SESSION, "C0CHAN": STATUS}.items():
        scene = make(channel=channel)
        before = len(slack.calls())
        await scene.follow(lambda: len(slack.calls()) > before, *[_moment() for _ in range(3)])  # noqa: B023  # called here
        assert methods(slack)[before:] == [method]


async def test_a_status_without_a_place_is_left_out(slack: FakeSlack, scene: SlackScene) -> None:
    scene.delivery.exhausted_buckets.add(f"slack:{TEAM}:{STATUS}")
    await scene.follow(TextDelta("Some words "), scene.texts)
    assert STATUS not in methods(slack)


async def test_where_there_is_no_thread_there_is_no_status_and_no_stream(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(threaded=False)
    await scene.follow(TextDelta("Some words "), scene.texts)
    assert methods(slack) == [POST]
    await scene.deliver(scene.answered("Some words are enough."))
    scene.assert_stands("Some words are enough.")


async def test_slack_gets_its_button_and_loses_it_with_the_reply(
    slack: FakeSlack, scene: SlackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0.01)
    await scene.follow(lambda: slack.session_statuses("D0DM", scene.asked_ts))
    assert slack.session_statuses("D0DM", scene.asked_ts) == ["processing"]
    await scene.deliver(scene.answered("Done."))
    assert slack.session_statuses("D0DM", scene.asked_ts) == ["processing", "active"]


async def test_a_stream_that_ends_takes_the_button_away_by_itself(
    slack: FakeSlack, scene: SlackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0.01)

    def working() -> list[str]:
        return slack.session_statuses("D0DM", scene.asked_ts)

    await scene.follow(working, TextDelta("Some words "), scene.texts)
    await scene.deliver(scene.answered("Some words more."))
    assert working() == ["processing", "active"]
    assert scene.count(SESSION) == 1


async def test_who_is_no_agent_is_asked_once_and_uses_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0.01)
    with FakeSlack(agent=False) as slack:
        async with scenes(slack) as make:
            scene = make(settings={"slack_preview": "update"})
            said = lambda: slack.statuses("D0DM", scene.asked_ts)[-2:] == ["is using clock…", "is thinking…"]  # noqa: E731
            using = lambda: slack.shown_status("D0DM", scene.asked_ts) == "is using clock…"  # noqa: E731
            await scene.follow(ToolCall("c1", "clock"), using, ToolCall("c1", "clock", done=True), said)
            assert scene.count(SESSION) == 1
            await scene.deliver(scene.answered("It is noon."))
            assert scene.count(SESSION) == 1


async def test_tools_are_tasks_of_the_stream_without_what_goes_into_them(slack: FakeSlack, scene: SlackScene) -> None:
    def shows(*statuses: str) -> bool:
        chunks = [chunk for posted in scene.said() for chunk in posted.stream_chunks]
        return [chunk["status"] for chunk in chunks if chunk["type"] == "task_update"] == list(statuses)

    await scene.follow(
        ToolCall("c1", "current_time", input='{"key": "secret"}'),
        lambda: shows("in_progress"),
        ToolCall("c1", "current_time", input='{"key": "secret"}', output="secret", done=True),
        lambda: shows("in_progress", "complete"),
        ToolCall("c2", "search"),
        lambda: shows("in_progress", "complete", "in_progress"),
    )
    await scene.deliver(scene.answered("It is noon."))
    scene.assert_stands("It is noon.")
    chunks = scene.said()[0].stream_chunks
    assert chunks[0] == {"type": "task_update", "id": "c1", "title": "current time", "status": "in_progress"}
    assert [chunk["id"] for chunk in chunks if chunk.get("status") == "complete"] == ["c1", "c2"]
    assert "secret" not in str([call.args for call in slack.calls()])


async def test_a_long_reply_goes_on_in_the_next_message_before_slack_refuses_it(
    slack: FakeSlack, scene: SlackScene
) -> None:
    code = "```python\n" + "".join(f"print({number})\n" for number in range(2000)) + "```\n"
    reply = f"Here it is.\n\n{code}\nThat was all.\n"
    told = [*deltas(reply, 500), lambda: len(scene.said()) >= 3]
    await scene.follow(*[one for delta in told for one in (delta, _moment())])
    await scene.deliver(scene.answered(reply))
    scene.assert_stands(reply)
    assert len(scene.said()) == 3
    assert scene.count(UPDATE) == 0
    assert scene.count(START) >= 2


def _moment() -> Told:
    """Lets some time pass for the preview to see a text while it is half there."""
    left = iter(range(6))
    return lambda: next(left, None) is None


async def test_a_stream_that_gets_old_is_ended_and_goes_on_as_a_message(
    slack: FakeSlack, scene: SlackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "STREAM_SECONDS", 0.0)
    await scene.follow(
        TextDelta("One two "),
        scene.texts,
        TextDelta("three four "),
        lambda: not scene.said()[0].streaming,
        TextDelta("five six "),
        lambda: scene.texts() == ["One two three four five six"],
    )
    await scene.deliver(scene.answered("One two three four five six seven"))
    scene.assert_stands("One two three four five six seven")
    assert (scene.count(START), scene.count(POST)) == (1, 0)


async def test_a_stream_that_slack_ended_while_nothing_happened_goes_on_as_a_message(
    slack: FakeSlack, scene: SlackScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire() -> bool:
        slack.expire_streams()
        # what is written next finds the stream ended, and old enough for that
        monkeypatch.setattr(preview, "STREAM_SECONDS", -1.0)
        return True

    await scene.follow(
        TextDelta("One two "),
        scene.texts,
        expire,
        TextDelta("three four "),
        lambda: scene.texts() == ["One two three four"],
    )
    await scene.deliver(scene.answered("One two three four five"))
    scene.assert_stands("One two three four five")


async def test_after_the_stop_button_the_preview_writes_no_more(slack: FakeSlack, scene: SlackScene) -> None:
    await scene.follow(
        TextDelta("One two "),
        scene.texts,
        lambda: slack.press_stop("D0DM", scene.asked_ts),
        TextDelta("three four "),
        lambda: scene.count(APPEND) == 1,
        TextDelta("five six "),
        _moment(),
    )
    assert scene.texts() == ["One two"]
    await scene.deliver(scene.cancelled())
    assert [posted.text for posted in scene.said()] == ["One two"]
    assert "_Stopped._" in str(scene.said()[0].blocks)
    assert (scene.said()[0].metadata or {})["event_payload"]["turn_id"] == scene.turn.id


@pytest.mark.parametrize("code", ["unknown_method", "method_deprecated", "feature_not_enabled", "not_agent_app"])
async def test_a_workspace_without_streams_is_asked_once_for_all_turns(
    slack: FakeSlack, make: MakeScene, code: str
) -> None:
    slack.faults.add(START, SlackErrorFault(code, times=None))
    scene = make()
    for _ in range(2):
        second = make()
        second.replies = scene.replies
        await second.follow(TextDelta("Some words "), second.texts)
        await second.deliver(second.answered("Some words more."))
        second.assert_stands("Some words more.")
    assert scene.count(START) == 1
    assert scene.count(POST) == 2


async def test_a_refusal_that_is_about_one_message_counts_for_its_turn_only(slack: FakeSlack, make: MakeScene) -> None:
    slack.faults.add(START, SlackErrorFault("user_not_found"))
    scene = make()
    await scene.follow(TextDelta("Some words "), scene.texts)
    assert (scene.count(START), scene.count(POST)) == (1, 1)
    other = make()
    other.replies = scene.replies
    await other.follow(TextDelta("Some words "), other.texts)
    assert scene.count(START) == 2


@pytest.mark.parametrize("settings", [{"slack_preview": "update"}, {}])
async def test_without_streams_a_message_is_posted_and_changed(
    slack: FakeSlack, make: MakeScene, settings: dict[str, bool]
) -> None:
    scene = make(settings=settings, key_user="" if settings else USER)
    await scene.follow(
        TextDelta("One two "),
        lambda: scene.texts() == ["One two"],
        TextDelta("three "),
        lambda: scene.texts() == ["One two three"],
    )
    await scene.deliver(scene.answered("One two three four"))
    scene.assert_stands("One two three four")
    assert (scene.count(START), scene.count(POST)) == (0, 1)
    assert scene.count(UPDATE) == 2


async def test_with_no_place_for_a_stream_a_message_is_changed_and_with_none_for_that_nothing_is_shown(
    slack: FakeSlack, make: MakeScene
) -> None:
    scene = make(delivery=Stingy({START: 0}))
    await scene.follow(TextDelta("Some words "), scene.texts)
    assert (scene.count(START), scene.count(POST)) == (0, 1)
    other = make(delivery=Stingy({START: 0, "preview": 0}))
    tried = lambda: other.delivery.acquired.count(f"slack:{TEAM}:preview") > 1  # noqa: E731
    await other.follow(TextDelta("Some words "), tried)
    assert other.said() == []
    await other.deliver(other.answered("Some words more."))
    other.assert_stands("Some words more.")


async def test_what_finds_no_place_is_shown_with_what_follows(slack: FakeSlack, make: MakeScene) -> None:
    scene = make(delivery=Stingy({APPEND: 1}))
    waited = lambda: scene.delivery.acquired.count(f"slack:{TEAM}:{APPEND}") > 1  # noqa: E731
    more = lambda: scene.delivery.places.update({APPEND: 5}) is None  # type: ignore[attr-defined]  # noqa: E731
    await scene.follow(
        TextDelta("one "),
        scene.texts,
        TextDelta("two "),
        lambda: scene.texts() == ["one two"],
        TextDelta("three "),
        waited,
        TextDelta("four "),
        more,
        lambda: scene.texts() == ["one two three four"],
    )


@pytest.mark.parametrize("method", [START, APPEND, POST, UPDATE, STATUS, SESSION])
async def test_a_429_makes_the_preview_wait_and_nobody_else(slack: FakeSlack, make: MakeScene, method: str) -> None:
    slack.faults.add(method, RateLimit(0))
    scene = make(settings={"slack_preview": "stream" if method in {START, APPEND} else "update"})
    await scene.follow(TextDelta("one "), scene.texts, TextDelta("two "), lambda: scene.texts() == ["one two"])
    await scene.deliver(scene.answered("one two three"))
    scene.assert_stands("one two three")


async def test_a_turn_that_another_process_began_shows_only_that_it_goes_on(
    slack: FakeSlack, scene: SlackScene
) -> None:
    scene.delivery.first_attempt = False
    said = lambda: slack.session_statuses("D0DM", scene.asked_ts)  # noqa: E731
    await scene.follow(TextDelta("Some words "), said, _moment(), _moment())
    assert methods(slack) == [SESSION]


async def test_where_the_app_is_not_installed_nothing_is_shown_and_nothing_raised(
    slack: FakeSlack, scene: SlackScene
) -> None:
    scene.workspaces.problem = DeliveryError("The app is not installed.")
    await scene.follow(TextDelta("Some words "))
    assert methods(slack) == []


async def test_a_lease_that_is_lost_ends_the_preview_quietly(slack: FakeSlack, scene: SlackScene) -> None:
    scene.delivery.lease_lost = True
    await scene.follow(TextDelta("Some words "), scene.texts, TextDelta("more "))
    assert scene.count(START) == 1

"""A channel of Slack in which the staff answers: through a real gateway, from the mention to the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.worker.answering.commands import HANDED_OVER_REPLY, RESUMED_REPLY
from tests.fakes.slack_events import TEAM
from tests.faults.slack_scenario import CHANNEL, SHORT, SlackScenario, open_scenario

STAFF = "G0GROUP"


def texts_in(scene: SlackScenario, channel: str, topic: str) -> list[str]:
    return [each.text for each in scene.slack.bot_messages(channel, topic)]


def wait(scene: SlackScenario, reached: Callable[[], bool]) -> None:
    scene.slack.wait_until(reached, 40.0)


def test_a_thread_of_the_staff_answers_a_thread_of_people(tmp_path: Path, sqlite_url: str) -> None:
    with open_scenario(tmp_path, sqlite_url) as scene:
        scene.start_process(HANDOVER_CHANNEL=f"slack:{TEAM}/{STAFF}", SLACK_PREVIEW="off", SLACK_FEEDBACK="false")
        topic = scene.send(SHORT)
        scene.wait_until_delivered(topic)
        scene.slack.user_says("human", channel=CHANNEL, thread_ts=topic, mention=True)
        wait(scene, lambda: len(scene.slack.bot_messages(STAFF)) == 1)
        (root,) = scene.slack.bot_messages(STAFF)
        assert "is handed over by" in root.text
        assert SHORT in root.text
        scene.slack.user_says("Where is my order?", channel=CHANNEL, thread_ts=topic)
        wait(scene, lambda: any("Where is my order?" in text for text in texts_in(scene, STAFF, root.ts)))
        scene.slack.user_says("It comes *tomorrow*.", channel=STAFF, thread_ts=root.ts)
        wait(scene, lambda: any("tomorrow" in text for text in texts_in(scene, CHANNEL, topic)))
        scene.slack.user_says("resume", channel=STAFF, thread_ts=root.ts)
        wait(scene, lambda: RESUMED_REPLY in texts_in(scene, CHANNEL, topic))
        said = texts_in(scene, CHANNEL, topic)
        assert said[:2] == [f"You said: {SHORT}", HANDED_OVER_REPLY]
        assert len(said) == 4
        assert scene.assistant_texts() == [[SHORT, "Where is my order?"]]


def test_a_file_of_the_staff_reaches_people_where_a_channel_is_one_conversation(
    tmp_path: Path, sqlite_url: str
) -> None:
    people = {"SLACK_SCOPE": "channel", "SLACK_REPLIES": "mention", "SLACK_PREVIEW": "off", "SLACK_FEEDBACK": "false"}
    with open_scenario(tmp_path, sqlite_url) as scene:
        scene.start_process(HANDOVER_CHANNEL=f"slack:{TEAM}/{STAFF}", **people)
        topic = scene.send(SHORT)
        scene.wait_until_delivered(topic)
        scene.slack.user_says("human", channel=CHANNEL, thread_ts=topic, mention=True)
        wait(scene, lambda: len(scene.slack.bot_messages(STAFF)) == 1)
        (root,) = scene.slack.bot_messages(STAFF)
        scene.slack.user_says("My invoice?", channel=CHANNEL, thread_ts=topic, mention=True)
        wait(scene, lambda: any("My invoice?" in text for text in texts_in(scene, STAFF, root.ts)))
        invoice = ("invoice.pdf", b"%PDF-1.7 for you", "application/pdf")
        scene.slack.user_says("Here it is.", channel=STAFF, thread_ts=root.ts, files=[invoice])

        def posted() -> list[bytes]:
            messages = scene.slack.bot_messages(CHANNEL, topic)
            return [file.content for message in messages for file in message.files]

        wait(scene, lambda: posted() == [invoice[1]])
        assert "Here it is." in texts_in(scene, CHANNEL, topic)
        assert len(texts_in(scene, STAFF, root.ts)) == 2

"""The files that the assistant made: after the words, in order, once, and named where they are not to be had."""

from __future__ import annotations

import pytest

from gateway.domain.files import File
from tests.adapters.slack.reply_scene import MakeScene, SlackScene
from tests.fakes.slack_events import TEAM
from tests.fakes.slack_server import FakeSlack, SlackErrorFault

CHART, TABLE = File("chart.png", "file-1", "image/png"), File("table_of_*all*.csv", "file-2", "text/csv")
CONTENT = {"file-1": b"png", "file-2": b"a,b"}


@pytest.fixture
def scene(make: MakeScene) -> SlackScene:
    return make()


def brought(scene: SlackScene) -> list[tuple[str, bytes]]:
    return [(file.name, file.content) for posted in scene.said() for file in posted.files]


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_file_that_slack_refuses_is_named(slack: FakeSlack, scene: SlackScene, method: str) -> None:
    scene.delivery.files = CONTENT
    slack.faults.add(method, SlackErrorFault("file_uploads_disabled"))
    await scene.deliver(scene.answered("Here.", CHART, TABLE))
    assert scene.texts() == ["Here.", "The file chart.png could not be brought here."]
    assert brought(scene) == [(TABLE.name, b"a,b")]


async def test_an_expired_token_at_a_file_puts_the_delivery_off(slack: FakeSlack, scene: SlackScene) -> None:
    scene.delivery.files = CONTENT
    slack.faults.add("files.getUploadURLExternal", SlackErrorFault("token_expired"))
    assert await scene.deliver(scene.answered("Here.", CHART)) == 1
    assert brought(scene) == [(CHART.name, b"png")]
    assert scene.workspaces.dropped == [TEAM]

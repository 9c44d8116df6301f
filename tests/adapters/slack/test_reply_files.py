"""The files that the assistant made: after the words, in order, once, and named where they are not to be had."""

from __future__ import annotations

import pytest

from gateway.errors import Unavailable
from gateway.messages import File
from tests.adapters.slack.bringing import MakeScene, Scene
from tests.fakes.outbox import FakeOutbox
from tests.fakes.slack_events import TEAM
from tests.fakes.slack_server import Error, FakeSlack

CHART, TABLE = File("chart.png", "file-1", "image/png"), File("table_of_*all*.csv", "file-2", "text/csv")
CONTENT = {"file-1": b"png", "file-2": b"a,b"}


@pytest.fixture
def scene(make: MakeScene) -> Scene:
    return make()


def brought(scene: Scene) -> list[tuple[str, bytes]]:
    return [(file.name, file.content) for posted in scene.said() for file in posted.files]


async def test_files_come_after_the_text_in_order_and_once(scene: Scene) -> None:
    scene.outbox.files = CONTENT
    for _ in range(2):
        await scene.deliver(scene.answered("Here they are.", CHART, TABLE))
    assert brought(scene) == [(CHART.name, b"png"), (TABLE.name, b"a,b")]
    assert [bool(posted.files) for posted in scene.said()] == [False, True, True]
    assert all(part.startswith("file:F") for part in scene.outbox.parts[1:])


async def test_files_without_a_word_are_brought(scene: Scene) -> None:
    scene.outbox.files = CONTENT
    await scene.deliver(scene.answered("", CHART))
    assert brought(scene) == [(CHART.name, b"png")]
    assert scene.texts() == []


async def test_a_file_that_is_not_to_be_had_is_named_and_the_others_come(scene: Scene) -> None:
    scene.outbox.files = {"file-1": b"png"}
    for _ in range(2):
        await scene.deliver(scene.answered("Here they are.", TABLE, CHART))
    assert scene.texts() == ["Here they are.", "The file table_of_*all*.csv could not be brought here."]
    assert brought(scene) == [(CHART.name, b"png")]
    await scene.restart()
    await scene.deliver(scene.answered("Here they are.", TABLE, CHART))
    assert len(scene.said()) == 3


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_file_that_slack_refuses_is_named(slack: FakeSlack, scene: Scene, method: str) -> None:
    scene.outbox.files = CONTENT
    slack.faults.add(method, Error("file_uploads_disabled"))
    await scene.deliver(scene.answered("Here.", CHART, TABLE))
    assert scene.texts() == ["Here.", "The file chart.png could not be brought here."]
    assert brought(scene) == [(TABLE.name, b"a,b")]


class Busy(FakeOutbox):
    """Hands a file over after so many tries."""

    def __init__(self, tries: int) -> None:
        super().__init__(files=CONTENT)
        self.tries = tries

    async def file(self, file: File) -> bytes:
        self.tries -= 1
        if self.tries >= 0:
            raise Unavailable
        return await super().file(file)


@pytest.mark.parametrize(("tries", "comes"), [(2, True), (3, False)])
async def test_a_file_that_is_not_to_be_had_now_is_waited_for_a_little(
    make: MakeScene, tries: int, *, comes: bool
) -> None:
    scene = make(outbox=Busy(tries))
    await scene.deliver(scene.answered("Here.", CHART))
    assert bool(brought(scene)) is comes
    assert len(scene.texts()) == (1 if comes else 2)


async def test_an_expired_token_at_a_file_puts_the_delivery_off(slack: FakeSlack, scene: Scene) -> None:
    scene.outbox.files = CONTENT
    slack.faults.add("files.getUploadURLExternal", Error("token_expired"))
    assert await scene.deliver(scene.answered("Here.", CHART)) == 1
    assert brought(scene) == [(CHART.name, b"png")]
    assert scene.workspaces.dropped == [TEAM]

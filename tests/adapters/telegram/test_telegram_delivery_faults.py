"""Whatever goes wrong between us and Telegram, and wherever a process dies: one reply, whole, in order.

Where nobody can know whether a message arrived, it comes once more at the most, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import preview as base_preview
from adapters.telegram import preview
from adapters.telegram.posted_reply import SendState
from gateway.domain.errors import DeliveryError
from gateway.domain.files import File
from gateway.domain.models import Turn
from gateway.domain.run_events import PreviewEvent, TextDelta
from tests.adapters.telegram.reply_scene import MakeScene, TelegramScene, bare, readings, scenes, shown_of
from tests.contracts.reply_scene import Told, a_while
from tests.examples import examples
from tests.fakes.simulated_crash import CrashAfterSteps, SimulatedCrash
from tests.fakes.telegram_server import (
    ConnectionRefused,
    FakeTelegram,
    HttpStatus,
    PlatformFault,
    RateLimit,
    ResponseLost,
    TelegramErrorFault,
)

PLACES = ["private", "group", "topic", "business"]
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(6))
"""Two messages."""
SHORT = "One two three."
CLEAR = [RateLimit(1)]
"""Telegram says that it was not done."""
UNCLEAR = [HttpStatus(502), ResponseLost(), ConnectionRefused()]
"""Nobody can know whether it was."""
METHODS = ["sendMessage", "editMessageText", "sendMessageDraft", "sendChatAction", "deleteMessage"]
CHART, NOTES = File("chart.png", "file-1", "image/png"), File("notes.txt", "file-2", "text/plain")
FILES = {"file-1": b"\x89PNG\r\n\x1a\nchart", "file-2": b"notes"}
DOUBTS = {
    SendState.SENDING.value,
    SendState.SENDING_AGAIN.value,
    f"file:{SendState.SENDING.value}",
    f"file:{SendState.SENDING_AGAIN.value}",
}


@pytest.fixture
def telegram(running: FakeTelegram) -> Iterator[FakeTelegram]:
    yield running
    running.faults.clear()


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    for name in ("PRIVATE_SECONDS", "GROUP_SECONDS", "THINKING_SECONDS"):
        patch.setattr(preview, name, 0.002)
    patch.setattr(base_preview, "MAX_PAUSE", 0.002)
    yield
    patch.undo()


def run_of(reply: str) -> Sequence[Told]:
    """What a run shows that ends with this reply."""
    middle = len(reply) // 2
    return [a_while(3), TextDelta(reply[:5]), a_while(), TextDelta(reply[5:middle]), a_while()]


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", CLEAR, ids=str)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["private", "group"])
async def test_a_call_that_was_not_done_costs_nothing(
    telegram: FakeTelegram, make: MakeScene, where: str, method: str, fault: PlatformFault
) -> None:
    scene = make(where)
    telegram.faults.add(method, fault)
    await scene.follow(*run_of(LONG))
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)


@pytest.mark.parametrize("fault", UNCLEAR, ids=str)
@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("where", ["private", "group"])
async def test_what_may_be_done_twice_is_done_again_and_says_nothing_of_it(
    telegram: FakeTelegram, make: MakeScene, where: str, method: str, fault: PlatformFault
) -> None:
    scene = make(where)
    telegram.faults.add(method, fault)
    await scene.follow(*run_of(LONG))
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)


@pytest.mark.parametrize("fault", UNCLEAR, ids=str)
@pytest.mark.parametrize("reply", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("where", ["private", "group"])
async def test_a_message_of_which_nobody_knows_comes_once_more_at_the_most_and_says_so(
    telegram: FakeTelegram, make: MakeScene, where: str, skip: int, reply: str, fault: Any
) -> None:
    scene = make(where)
    telegram.faults.add("sendMessage", replace(fault, skip=skip))
    await scene.follow(*run_of(reply))
    await scene.deliver(scene.answered(reply))
    scene.assert_came(reply)
    struck = scene.count("sendMessage") > skip
    assert scene.again() <= struck
    assert len(scene.said()) <= len(shown_of(reply)) + struck


@pytest.mark.parametrize("fault", [*CLEAR, *UNCLEAR], ids=str)
@pytest.mark.parametrize("method", ["sendPhoto", "sendDocument"])
async def test_a_fault_at_a_file_brings_it_once_more_at_the_most_and_all_others_once(
    telegram: FakeTelegram, make: MakeScene, method: str, fault: PlatformFault
) -> None:
    scene = make("group")
    scene.delivery.files = FILES
    telegram.faults.add(method, fault)
    await scene.deliver(scene.answered(SHORT, CHART, NOTES))
    scene.assert_came(SHORT)
    again = [name for name in scene.files() if name.startswith("sent again")]
    assert len(again) == (fault in UNCLEAR)
    for name in ("chart.png", "notes.txt"):
        repeated = f"sent again - {name}" in again
        assert scene.files().count(name) in ({0, 1} if repeated else {1})
    assert scene.again() == 0


# ---------------------------------------------------------------- deaths


async def brought(scene: TelegramScene, turn: Turn) -> None:
    """As far as it can be: of what was lost sight of twice, the operator is told."""
    with suppress(DeliveryError):
        await scene.deliver(turn)


def in_doubt(scene: TelegramScene) -> bool:
    """Whether a process that comes now cannot know what stands there."""
    return bool(DOUBTS & set(scene.delivery.posted_messages))


@pytest.mark.parametrize("again", [LONG, SHORT], ids=["same", "other"])
@pytest.mark.parametrize("where", ["private", "group"])
@pytest.mark.parametrize("step", range(1, 22))
async def test_another_process_makes_one_reply_of_what_a_dead_one_left(
    make: MakeScene, where: str, step: int, again: str
) -> None:
    scene = make(where)
    lived = await scene.lives(CrashAfterSteps(step), run_of(LONG), scene.answered(LONG))
    reply, doubtful = LONG if lived else again, in_doubt(scene)
    await scene.restart()
    await scene.deliver(scene.answered(reply))
    if doubtful:
        said = scene.texts()
        # A preview of another reply that nobody has named stays below: it cannot be found again.
        assert any(bare(reply) in readings(said[:end]) for end in (1, len(said)))
        assert scene.again() <= 1
    else:
        scene.assert_stands(reply)
        assert scene.again() == 0


@pytest.mark.parametrize("step", range(1, 20))
async def test_without_a_preview_a_death_is_in_doubt_only_between_announcement_and_name(
    make: MakeScene, step: int
) -> None:
    scene = make("group")
    await scene.begin(CrashAfterSteps(step))
    with suppress(SimulatedCrash):
        await scene.deliver(scene.answered(LONG))
    doubtful = in_doubt(scene)
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    scene.assert_came(LONG)
    assert scene.again() == doubtful
    assert len(scene.said()) in {2, 2 + doubtful}


@pytest.mark.parametrize("reply", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("second", range(1, 14))
@pytest.mark.parametrize("first", [5, 12])
async def test_the_next_process_may_die_as_well(make: MakeScene, first: int, second: int, reply: str) -> None:
    scene = make("group")
    await scene.lives(CrashAfterSteps(first), run_of(LONG), scene.answered(LONG))
    doubts = int(in_doubt(scene))
    await scene.restart(CrashAfterSteps(second))
    with suppress(SimulatedCrash):
        await scene.deliver(scene.answered(reply))
    doubts += in_doubt(scene)
    await scene.restart()
    await brought(scene, scene.answered(reply))
    if "again:?" not in scene.delivery.posted_messages:
        scene.assert_came(reply)
    assert scene.again() <= doubts


@pytest.mark.parametrize("step", range(1, 24))
async def test_every_file_comes_whenever_a_process_dies_and_again_only_with_that_name(
    make: MakeScene, step: int
) -> None:
    scene = make()
    scene.delivery.files = FILES
    await scene.begin(CrashAfterSteps(step))
    turn = scene.answered(SHORT, CHART, NOTES)
    with suppress(SimulatedCrash):
        await scene.deliver(turn)
    doubtful = in_doubt(scene)
    await scene.restart()
    await scene.deliver(turn)
    scene.assert_came(SHORT)
    repeats = [name for name in scene.files() if name.startswith("sent again")]
    assert len(repeats) + scene.again() == doubtful
    names = [name.removeprefix("sent again - ") for name in scene.files()]
    assert list(dict.fromkeys(names)) == ["chart.png", "notes.txt"]


# ---------------------------------------------------------------- anything

WORDS = st.text(alphabet="ab *_`#|\n-<&é世😀", min_size=1, max_size=80)
REPLIES = st.lists(WORDS, min_size=1, max_size=8).map("".join).filter(str.strip)
REFUSALS = {
    "sendMessage": ["can't parse entities", "message to be replied not found", "message is too long"],
    "editMessageText": ["can't parse entities", "MESSAGE_TOO_LONG"],
    "sendMessageDraft": ["TEXTDRAFT_PEER_INVALID", "message text is empty"],
}
"""What each method may say beside what all of them may."""
TROUBLE = st.lists(
    st.tuples(st.sampled_from(["*", *METHODS]), st.sampled_from([*CLEAR, *UNCLEAR, ResponseLost(skip=1)]))
    | st.sampled_from([(method, TelegramErrorFault(400, why)) for method, whys in REFUSALS.items() for why in whys]),
    max_size=4,
)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(PLACES),
    reply=REPLIES,
    long=st.booleans(),
    cuts=st.integers(1, 60),
    trouble=TROUBLE,
    step=st.integers(0, 30),
)
def test_whatever_is_said_and_goes_wrong_all_of_it_comes(
    running: FakeTelegram,
    where: str,
    reply: str,
    long: bool,  # noqa: FBT001  # drawn by its name
    cuts: int,
    trouble: list[tuple[str, PlatformFault]],
    step: int,
) -> None:
    """One process in trouble that may die, one that goes on."""
    reply = f"{reply}\n\n{LONG}" if long else reply
    asyncio.run(_any(running, where, reply, cuts, trouble, step))


async def _any(
    telegram: FakeTelegram, where: str, reply: str, cuts: int, trouble: list[tuple[str, PlatformFault]], step: int
) -> None:
    async with scenes(telegram) as make:
        scene = make(where)
        for method, fault in trouble:
            telegram.faults.add(method, fault)
        told: list[PreviewEvent] = [TextDelta(reply[start : start + 200]) for start in range(0, len(reply), 200)]
        await scene.begin(CrashAfterSteps(step))
        try:
            await scene.follow(*told[:cuts], a_while())
            await brought(scene, scene.answered(reply))
        except SimulatedCrash:
            pass
        except BaseExceptionGroup as group:
            if group.split(SimulatedCrash)[1] is not None:
                raise
        telegram.faults.clear()
        await scene.restart()
        await brought(scene, scene.answered(reply))
        ambiguous = sum(fault in [*UNCLEAR, ResponseLost(skip=1)] for _, fault in trouble) + (step > 0)
        assert scene.again() <= ambiguous
        if "again:?" not in scene.delivery.posted_messages:
            scene.assert_came(reply)
        if not ambiguous:
            scene.assert_stands(reply)

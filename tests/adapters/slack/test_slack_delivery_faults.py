"""Whatever goes wrong between us and Slack, and wherever a process dies: one reply, whole, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.slack import preview
from gateway.domain.files import File
from gateway.domain.run_events import TextDelta, ToolCall
from tests.adapters.slack.reply_scene import MakeScene, scenes
from tests.contracts.reply_scene import Told, a_while
from tests.examples import examples
from tests.fakes.simulated_crash import CrashAfterSteps, SimulatedCrash
from tests.fakes.slack_server import (
    ConnectionRefused,
    FakeSlack,
    HttpStatus,
    PlatformFault,
    RateLimit,
    ResponseLost,
    SlackErrorFault,
)

LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 60 for number in range(12))
"""Two messages."""
SHORT = "One two three."
STREAMING, POSTING = {"slack_preview": "stream"}, {"slack_preview": "update"}
FAULTS = [
    RateLimit(0),
    HttpStatus(500),
    ResponseLost(),
    ConnectionRefused(),
    ResponseLost(skip=1),
    SlackErrorFault("internal_error"),
]
LOOK = "conversations.replies"
METHODS = [
    *("chat.startStream", "chat.appendStream", "chat.stopStream", "chat.postMessage", "chat.update", "chat.delete"),
    *(LOOK, "assistant.threads.setStatus", "agents.sessions.setStatus"),
]
CHART = File("chart.png", "file-1", "image/png")
FILES = {"file-1": b"png"}


@pytest.fixture
def slack(running: FakeSlack) -> Iterator[FakeSlack]:
    yield running
    running.faults.clear()


@pytest.fixture(autouse=True)
def _quick_button(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0.01)


def run_of(reply: str) -> Sequence[Told]:
    """What a run shows that ends with this reply."""
    middle = len(reply) // 2
    tool = [ToolCall("c", "search"), a_while(), ToolCall("c", "search", done=True)]
    return [*tool, TextDelta(reply[:5]), a_while(), TextDelta(reply[5:middle]), a_while()]


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize(
    ("way", "method"),
    [
        *((STREAMING, method) for method in METHODS if method not in {"chat.update", "chat.delete", LOOK}),
        *((POSTING, method) for method in ("chat.postMessage", "chat.update", "agents.sessions.setStatus")),
    ],
)
async def test_one_fault_at_any_call_costs_nothing(
    slack: FakeSlack, make: MakeScene, way: dict[str, bool], method: str, fault: PlatformFault
) -> None:
    scene = make(settings=way)
    slack.faults.add(method, fault)
    await scene.follow(*run_of(LONG))
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)


@pytest.mark.parametrize(
    "fault", [ResponseLost(), ResponseLost(skip=1), ResponseLost(times=2), HttpStatus(502, times=3)], ids=str
)
@pytest.mark.parametrize("reply", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("threaded", [True, False], ids=["thread", "channel"])
async def test_a_post_whose_answer_is_lost_is_looked_for_and_not_repeated(
    slack: FakeSlack, make: MakeScene, fault: PlatformFault, reply: str, *, threaded: bool
) -> None:
    scene = make(threaded=threaded)
    slack.faults.add("chat.postMessage", fault)
    await scene.deliver(scene.answered(reply))
    scene.assert_stands(reply)


async def test_a_pushed_text_whose_answer_is_lost_is_looked_for_and_asks_for_no_feedback(
    slack: FakeSlack, make: MakeScene
) -> None:
    scene = make(channel="C0ONE", threaded=False)
    slack.faults.add("chat.postMessage", ResponseLost())
    await scene.deliver(scene.pushed(SHORT))
    (posted,) = scene.said()
    assert (posted.text, posted.thread_ts) == (SHORT, None)
    assert "feedback" not in str(posted.blocks)


async def test_words_whose_answer_is_lost_are_not_streamed_again(slack: FakeSlack, make: MakeScene) -> None:
    scene = make()
    slack.faults.add("chat.appendStream", ResponseLost())
    more = lambda: scene.texts() == ["One two three"]  # noqa: E731
    await scene.follow(TextDelta("One "), scene.texts, TextDelta("two three "), more)
    await scene.deliver(scene.answered("One two three four."))
    scene.assert_stands("One two three four.")


async def test_nothing_is_posted_while_looking_does_not_work(slack: FakeSlack, make: MakeScene) -> None:
    scene = make()
    slack.faults.add("chat.postMessage", ResponseLost())
    slack.faults.add(LOOK, RateLimit(0), HttpStatus(500), ResponseLost(), ConnectionRefused(), RateLimit(0))
    before = scene.count("chat.postMessage")
    assert await scene.deliver(scene.answered(SHORT)) > 3
    assert scene.count("chat.postMessage") == before + 1
    scene.assert_stands(SHORT)


@pytest.mark.parametrize("outcome", ["another", "failure", "cancelled"])
@pytest.mark.parametrize("fault", [ResponseLost(), HttpStatus(500), RateLimit(0), ConnectionRefused()], ids=str)
@pytest.mark.parametrize("method", ["chat.stopStream", "chat.postMessage", "chat.update", "chat.delete"])
async def test_a_fault_costs_nothing_when_what_was_shown_is_not_the_outcome(
    slack: FakeSlack, make: MakeScene, outcome: str, method: str, fault: PlatformFault
) -> None:
    scene = make()
    await scene.follow(*run_of(LONG), scene.texts)
    shown = scene.texts()
    slack.faults.add(method, fault)
    if outcome == "cancelled":
        await scene.deliver(scene.cancelled())
        assert scene.texts() == shown
        assert not any(posted.streaming for posted in scene.said())
    elif outcome == "failure":
        await scene.deliver(scene.failed("That did not work."))
        scene.assert_stand(["That did not work."])
    else:
        await scene.deliver(scene.answered(SHORT))
        scene.assert_stands(SHORT)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_fault_at_a_file_brings_it_once(
    slack: FakeSlack, make: MakeScene, method: str, fault: PlatformFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.files.LOOKUP_PAUSES", (0.0,))
    scene = make()
    scene.delivery.files = FILES
    slack.faults.add(method, fault)
    await scene.deliver(scene.answered(SHORT, CHART))
    assert [file.name for posted in scene.said() for file in posted.files] == ["chart.png"]
    assert scene.texts() == [SHORT]


# ---------------------------------------------------------------- deaths


async def at_each(steps: range, die: Callable[[int], Awaitable[None]]) -> None:
    """All at once, as each has a thread of its own at Slack."""

    async def named(step: int) -> None:
        try:
            await die(step)
        except BaseException as exc:
            exc.add_note(f"when it died at step {step}")
            raise

    await asyncio.gather(*map(named, steps))


STEPS = range(1, 18)
"""To the end, and one more."""


@pytest.mark.parametrize("again", [LONG, SHORT], ids=["same", "other"])
@pytest.mark.parametrize("way", [STREAMING, POSTING], ids=["stream", "post"])
async def test_another_process_makes_one_reply_of_what_a_dead_one_left(
    make: MakeScene, way: dict[str, bool], again: str
) -> None:
    async def die(step: int) -> None:
        scene = make(settings=way)
        lived = await scene.lives(CrashAfterSteps(step), run_of(LONG), scene.answered(LONG))
        reply = LONG if lived else again
        await scene.restart()
        await scene.deliver(scene.answered(reply))
        scene.assert_stands(reply)

    await at_each(STEPS, die)


@pytest.mark.parametrize("reply", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("first", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (5, 8)), 12])
async def test_the_next_process_may_die_as_well(make: MakeScene, first: int, reply: str) -> None:
    async def die(step: int) -> None:
        scene = make()
        await scene.lives(CrashAfterSteps(first), run_of(LONG), scene.answered(LONG))
        await scene.restart(CrashAfterSteps(step))
        with suppress(SimulatedCrash):
            await scene.deliver(scene.answered(reply))
        await scene.restart()
        await scene.deliver(scene.answered(reply))
        scene.assert_stands(reply)

    await at_each(STEPS, die)


async def test_a_file_comes_once_whenever_a_process_dies(make: MakeScene) -> None:
    async def die(step: int) -> None:
        scene = make()
        scene.delivery.files = FILES
        turn = scene.answered(SHORT, CHART)
        await scene.lives(CrashAfterSteps(step), (), turn)
        await scene.restart()
        await scene.deliver(turn)
        assert [file.name for posted in scene.said() for file in posted.files] == ["chart.png"]
        assert scene.texts() == [SHORT]

    await at_each(STEPS, die)


# ---------------------------------------------------------------- anything

WORDS = st.text(alphabet="ab *_`#|\n-<&é世", min_size=1, max_size=80)
REPLIES = st.lists(WORDS, min_size=1, max_size=8).map("".join).filter(str.strip)
REFUSALS = {
    "chat.startStream": ["user_not_found", "feature_not_enabled"],
    "chat.appendStream": ["message_not_in_streaming_state", "msg_too_long", "stopped_by_user"],
    "chat.stopStream": ["message_not_in_streaming_state", "msg_too_long", "invalid_blocks"],
    "chat.postMessage": ["invalid_blocks", "msg_blocks_too_long"],
    "chat.update": ["streaming_state_conflict", "edit_window_closed", "invalid_blocks", "msg_too_long"],
}
"""What each method may say beside what all of them may."""
BREAKS = st.lists(st.tuples(st.sampled_from(["chat.*", *METHODS]), st.sampled_from(FAULTS)), max_size=4)
REFUSAL = st.sampled_from([(method, SlackErrorFault(code)) for method, codes in REFUSALS.items() for code in codes])
TROUBLE = st.tuples(BREAKS, st.none() | REFUSAL).map(lambda both: [*both[0], *([both[1]] if both[1] else [])])
"""At most one refusal: what Slack did not take it does not refuse for the same reason in a plainer form."""


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reply=REPLIES, long=st.booleans(), cuts=st.integers(1, 60), trouble=TROUBLE, step=st.integers(0, 30))
def test_whatever_is_said_and_goes_wrong_one_reply_stands(
    running: FakeSlack, reply: str, *, long: bool, cuts: int, trouble: list[tuple[str, PlatformFault]], step: int
) -> None:
    """One process in trouble that may die, one that goes on: what stands is the reply, or plain where that is all."""
    reply = f"{reply}\n\n{LONG}" if long else reply
    asyncio.run(_any(running, reply, cuts, trouble, step))


async def _any(slack: FakeSlack, reply: str, cuts: int, trouble: list[tuple[str, PlatformFault]], step: int) -> None:
    async with scenes(slack) as make:
        scene = make()
        for method, fault in trouble:
            slack.faults.add(method, fault)
        told: list[Told] = [TextDelta(reply[start : start + 200]) for start in range(0, len(reply), 200)]
        await scene.lives(CrashAfterSteps(step), [*told[:cuts], a_while()], scene.answered(reply))
        slack.faults.clear()
        await scene.restart()
        await scene.deliver(scene.answered(reply))
        scene.assert_stands(reply)

"""What an attempt used, by the events of its calls and the way they end."""

from __future__ import annotations

import pytest

from gateway.domain.errors import (
    AssistantError,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    ThreadMissing,
)
from gateway.domain.models import RunId, Usage
from gateway.domain.run_events import REASONING, RunCompleted, RunEvent, RunStarted, TextDelta, ToolCall, UsageCounted
from gateway.policy.token_estimate import text_tokens
from gateway.ports.budgets import ModelUsage
from gateway.worker.answering.usage_meter import UsageMeter

REQUEST = 100
"""The tokens of the first request."""
A, B = RunId("a"), RunId("b")
HELLO = TextDelta("Hello, how are you today?")
HELLO_TOKENS = text_tokens(HELLO.text)
CALL = ToolCall("1", "add", '{"a": 1}')
RESULT = ToolCall("1", "add", '{"a": 1}', "three", done=True)


def play(*events: RunEvent, resumed: RunId | None = None, meter: UsageMeter | None = None) -> UsageMeter:
    """Returns the meter after one more call that yielded these events."""
    meter = meter or UsageMeter()
    meter.begin_call(resumed)
    for event in events:
        meter.add(event)
    return meter


def counted(meter: UsageMeter) -> Usage:
    return sum((each.usage for each in meter.counted()), Usage())


def estimated(meter: UsageMeter) -> list[Usage]:
    return [run.estimate(REQUEST) for run in meter.open_runs()]


def test_a_complete_answer_is_counted_once() -> None:
    meter = play(RunStarted(A), HELLO, UsageCounted(A, Usage(5, 6), "m"), RunCompleted("Hello", Usage(5, 6), model="m"))
    assert list(meter.counted()) == [ModelUsage("m", Usage(5, 6))]
    assert meter.open_runs() == []


def test_an_answer_that_the_server_did_not_count_is_estimated() -> None:
    meter = play(RunStarted(A), HELLO, RunCompleted(HELLO.text))
    assert (counted(meter), estimated(meter)) == (Usage(), [Usage(REQUEST, HELLO_TOKENS)])


def test_an_answer_that_is_cut_off_is_estimated_by_what_was_sent_and_shown() -> None:
    assert estimated(play(RunStarted(A), HELLO)) == [Usage(REQUEST, HELLO_TOKENS)]
    assert estimated(play()) == [Usage(REQUEST, 0)]


def test_the_usage_of_an_error_is_counted() -> None:
    meter = play(RunStarted(A), HELLO)
    meter.fail(AssistantRefused("cut short", usage=Usage(7, 100), model="m"))
    assert list(meter.counted()) == [ModelUsage("m", Usage(7, 100))]
    assert meter.open_runs() == []


def test_a_request_whose_answer_was_lost_is_estimated_beside_what_the_error_counts() -> None:
    meter = play(RunStarted(A), UsageCounted(A, Usage(50, 10), "m"), CALL, RESULT, RunStarted(B), HELLO)
    meter.fail(AssistantError("no complete answer", usage=Usage(50, 10), model="m"))
    assert list(meter.counted()) == [ModelUsage("m", Usage(50, 10))]
    assert estimated(meter) == [Usage(60 + text_tokens("three"), HELLO_TOKENS)]


@pytest.mark.parametrize("kind", [AssistantRefused, ThreadMissing, AssistantRateLimited])
def test_a_request_that_is_rejected_after_others_were_counted_costs_nothing(kind: type[AssistantError]) -> None:
    meter = play(RunStarted(A), UsageCounted(A, Usage(50, 10), "m"), CALL, RESULT)
    meter.fail(kind("too long", usage=Usage(50, 10), model="m"))
    assert list(meter.counted()) == [ModelUsage("m", Usage(50, 10))]
    assert meter.open_runs() == []


def test_reasoning_that_is_shown_is_written_by_the_model_and_no_further_request() -> None:
    thought = (ToolCall("r", REASONING), ToolCall("r", REASONING, output=HELLO.text, done=True))
    assert estimated(play(RunStarted(A), *thought)) == [Usage(REQUEST, HELLO_TOKENS)]
    assert play(RunStarted(A), UsageCounted(A, Usage(50, 10)), *thought).open_runs() == []


def test_the_text_of_an_error_is_estimated() -> None:
    meter = play(RunStarted(A))
    meter.fail(AssistantUnavailable("interrupted", partial_text=HELLO.text))
    assert estimated(meter) == [Usage(REQUEST, HELLO_TOKENS)]


def test_a_call_that_was_rejected_or_did_not_reach_the_server_costs_nothing() -> None:
    for error in (AssistantUnavailable("refused"), AssistantRateLimited("busy"), AssistantRefused("too long")):
        meter = play()
        meter.fail(error)
        assert (counted(meter), meter.open_runs()) == (Usage(), [])


def test_each_try_is_paid() -> None:
    meter = play(RunStarted(A), HELLO)
    meter.fail(AssistantUnavailable("interrupted"))
    play(RunStarted(B), HELLO, RunCompleted("Hello", Usage(5, 6)), meter=meter)
    assert (counted(meter), estimated(meter)) == (Usage(5, 6), [Usage(REQUEST, HELLO_TOKENS)])


def test_a_run_that_is_resumed_is_paid_once() -> None:
    meter = play(RunStarted(A), HELLO)
    meter.fail(AssistantUnavailable("interrupted"))
    play(RunCompleted("Hello", Usage(5, 6)), resumed=A, meter=meter)
    assert (counted(meter), meter.open_runs()) == (Usage(5, 6), [])


def test_a_run_that_could_not_be_resumed_is_looked_up() -> None:
    meter = play(RunStarted(B), RunCompleted("Hello", Usage(5, 6)), resumed=A)
    assert [run.run_id for run in meter.open_runs()] == [A]
    meter.set_looked_up(A, UsageCounted(A, Usage(1, 2), "m"))
    assert (counted(meter), meter.open_runs()) == (Usage(6, 8), [])


def test_a_run_that_goes_on_with_another_response_is_paid_once() -> None:
    events = (UsageCounted(A, Usage(1, 2)), RunStarted(B), UsageCounted(B, Usage(5, 6)))
    meter = play(*events, RunCompleted("Hello", Usage(6, 8)), resumed=A)
    assert (counted(meter), meter.open_runs()) == (Usage(6, 8), [])


def test_a_request_after_tools_carries_what_was_counted_before_and_their_outputs() -> None:
    meter = play(RunStarted(A), UsageCounted(A, Usage(50, 10)), CALL, RESULT, HELLO)
    assert counted(meter) == Usage(50, 10)
    assert estimated(meter) == [Usage(60 + text_tokens("three"), HELLO_TOKENS)]


def test_no_request_is_open_while_tools_run() -> None:
    other = ToolCall("2", "add")
    meter = play(RunStarted(A), UsageCounted(A, Usage(50, 10)), CALL, other, RESULT)
    assert (counted(meter), meter.open_runs()) == (Usage(50, 10), [])


def test_rounds_that_nobody_counted_are_each_estimated() -> None:
    first, output = text_tokens(CALL.name + CALL.input), text_tokens("three")
    both = Usage(REQUEST, first) + Usage(REQUEST + first + output, HELLO_TOKENS)
    assert estimated(play(RunStarted(A), CALL, RESULT, HELLO)) == [both]


def test_a_transcription_is_paid_beside_the_run() -> None:
    heard = UsageCounted(RunId("transcription 1"), Usage(3, 4), "ear", beside=True)
    meter = play(heard, RunStarted(A), RunCompleted("Hello", Usage(5, 6), model="m"))
    assert list(meter.counted()) == [ModelUsage("m", Usage(5, 6)), ModelUsage("ear", Usage(3, 4))]


def test_runs_of_dead_processes_are_estimated_with_a_reply_of_common_length() -> None:
    meter = play(RunStarted(A), RunCompleted("Hello", Usage(5, 6)), meter=UsageMeter([RunId("x"), RunId("y")]))
    assert estimated(meter) == [Usage(REQUEST, 400)] * 2

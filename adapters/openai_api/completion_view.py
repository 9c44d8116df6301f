"""Completions and chunks, as Chat Completions returns them: developers.openai.com/api/reference/resources/chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.openai_api import sse
from adapters.openai_api.errors import error_form
from adapters.openai_api.ids import name_of
from adapters.openai_api.outcome import calls_of, failure_of, is_cut_off, refusal_of, text_of, unsent, usage_of
from gateway.domain.exchange import RequestedCall
from gateway.domain.extra_content import NAME as EXTRA
from gateway.domain.extra_content import extra_contents
from gateway.domain.models import Turn
from gateway.web.api import problems
from gateway.web.api.event_stream import TurnWriter, sse_event
from gateway.web.api.problems import JsonResponse


def completion_response(turn: Turn, model: str) -> JsonResponse:
    """Returns the answer to a caller whose turn is resolved."""
    if (failure := failure_of(turn)) is not None:
        return error_form(problems.from_failure(failure))
    calls = _calls(turn)
    refusal = refusal_of(turn) or None
    content = text_of(turn) or (None if calls or refusal else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    choice = {
        "index": 0,
        "message": message | ({"tool_calls": calls} if calls else {}),
        "logprobs": None,
        "finish_reason": _finish_reason(turn),
    }
    head = _head(turn, model) | {"object": "chat.completion"}
    return {**head, "choices": [choice], "usage": _usage(turn)}, 200, {}


@dataclass(frozen=True, slots=True)
class CompletionStream(TurnWriter):
    """Writes the events of one completion."""

    turn: Turn
    model: str
    with_usage: bool
    """Whether the last chunk has the usage, and the others null for it (``stream_options.include_usage``)."""

    def begin(self) -> Iterator[str]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def on_text(self, text: str) -> Iterator[str]:
        yield self._chunk({"content": text})

    def on_refusal(self, text: str) -> Iterator[str]:
        yield self._chunk({"refusal": text})

    def on_end(self, turn: Turn, sent: str) -> Iterator[str]:
        if (failure := failure_of(turn)) is not None:
            yield from self.on_problem(problems.from_failure(failure))
            return
        text, refusal = unsent(turn, sent)
        yield from self.on_text(text) if text else ()
        yield from self.on_refusal(refusal) if refusal else ()
        for index, call in enumerate(_calls(turn)):
            yield self._chunk({"tool_calls": [{"index": index, **call}]})
        yield self._chunk({}, _finish_reason(turn))
        if self.with_usage:
            yield sse_event({**self._head, "choices": [], "usage": _usage(turn)})
        yield sse.DONE

    def on_problem(self, problem: JsonResponse) -> Iterator[str]:
        """Yields an error, with which the SDKs end the stream as an exception."""
        yield sse_event(error_form(problem)[0])

    @property
    def _head(self) -> dict[str, Any]:
        return _head(self.turn, self.model) | {"object": "chat.completion.chunk"}

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self.with_usage else {}
        return sse_event({**self._head, "choices": [choice], **usage})


def _head(turn: Turn, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{name_of(turn.id)}", "created": int(turn.received_at), "model": model}


def _usage(turn: Turn) -> dict[str, Any]:
    """Returns the tokens of a turn, with the details that programs read unasked: 0, as they are not known here."""
    details = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}
    return usage_of(turn) | details | {"completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}}


def _calls(turn: Turn) -> Sequence[dict[str, Any]]:
    """Returns the calls, with what their caller has to bring again beside them."""
    extra = extra_contents(turn.returned)
    return [_call(call) | ({EXTRA: extra[call.id]} if call.id in extra else {}) for call in calls_of(turn)]


def _call(call: RequestedCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish_reason(turn: Turn) -> str:
    if calls_of(turn):
        return "tool_calls"
    return "length" if is_cut_off(turn) else "stop"

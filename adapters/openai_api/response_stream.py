"""The events of a response while it is written: developers.openai.com/api/docs/guides/streaming-responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.openai_api.errors import error_form
from adapters.openai_api.outcome import calls_of, failure_of, is_cut_off, text_of, unsent
from adapters.openai_api.response_view import call_item, message_item, response_body, text_part
from gateway.domain.exchange import RequestedCall
from gateway.domain.models import Turn, TurnState
from gateway.web.api.event_stream import TurnWriter, sse_event
from gateway.web.api.problems import JsonResponse


class ResponseStream(TurnWriter):
    """Writes the events of one response, numbered from 0."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._number = -1
        self._has_message = False

    def begin(self) -> Iterator[str]:
        body = {**response_body(self._turn), "status": "in_progress", "output": [], "usage": None}
        yield self._event("response.created", response=body)
        yield self._event("response.in_progress", response=body)

    def on_text(self, text: str) -> Iterator[str]:
        if not self._has_message:
            yield from self._begin_message()
        yield self._in_part("response.output_text.delta", delta=text, logprobs=[])

    def on_end(self, turn: Turn, sent: str) -> Iterator[str]:
        self._turn = turn
        if failure_of(turn) is None:
            if (rest := unsent(turn, sent)) or not (sent or calls_of(turn)):
                yield from self.on_text(rest)
            if self._has_message:
                yield from self._end_message(text_of(turn))
            for number, call in enumerate(calls_of(turn)):
                yield from self._call(number, call)
        yield self._event(_last_event(turn), response=response_body(turn))

    def on_problem(self, problem: JsonResponse) -> Iterator[str]:
        """Yields an error, both as it is documented and as OpenAI sends it, within ``error``: the SDKs raise that."""
        error = error_form(problem)[0]["error"]
        documented = {name: error[name] for name in ("code", "message", "param")}
        yield self._event("error", **documented, error=error)

    def _begin_message(self) -> Iterator[str]:
        self._has_message = True
        item = message_item(self._turn, "", "in_progress")
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._in_part("response.content_part.added", part=text_part(""))

    def _end_message(self, text: str) -> Iterator[str]:
        yield self._in_part("response.output_text.done", text=text, logprobs=[])
        yield self._in_part("response.content_part.done", part=text_part(text))
        item = message_item(self._turn, text)
        yield self._event("response.output_item.done", output_index=0, item=item)

    def _call(self, number: int, call: RequestedCall) -> Iterator[str]:
        item = call_item(self._turn, number, call)
        place = {"output_index": number + self._has_message}
        begun = call_item(self._turn, number, call, "in_progress")
        within = {**place, "item_id": item["id"]}
        yield self._event("response.output_item.added", **place, item=begun)
        yield self._event("response.function_call_arguments.delta", **within, delta=call.arguments)
        yield self._event("response.function_call_arguments.done", **within, name=call.name, arguments=call.arguments)
        yield self._event("response.output_item.done", **place, item=item)

    def _in_part(self, kind: str, /, **fields: Any) -> str:
        item = message_item(self._turn, "", "in_progress")["id"]
        return self._event(kind, item_id=item, output_index=0, content_index=0, **fields)

    def _event(self, kind: str, /, **fields: Any) -> str:
        self._number += 1
        return sse_event({"type": kind, "sequence_number": self._number, **fields}, kind)


def _last_event(turn: Turn) -> str:
    if failure_of(turn) is not None:
        return "response.failed" if turn.state is TurnState.FAILED else "response.incomplete"
    return "response.incomplete" if is_cut_off(turn) else "response.completed"

"""The events of a response while it is written: developers.openai.com/api/docs/guides/streaming-responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.openai_api.errors import error_form
from adapters.openai_api.outcome import calls_of, failure_of, is_cut_off, unsent
from adapters.openai_api.response_view import (
    call_item,
    message_item,
    parts_of,
    reasoning_items,
    refusal_part,
    response_body,
    text_part,
)
from gateway.domain.exchange import RequestedCall
from gateway.domain.models import Turn, TurnState
from gateway.web.api.event_stream import TurnWriter, sse_event
from gateway.web.api.problems import JsonResponse

CONTENT: Mapping[str, str] = {"output_text": "text", "refusal": "refusal"}
"""The field of a part that has its content, by its type, of which the names of its events are made."""
LOGPROBS: Mapping[str, Mapping[str, Any]] = {"output_text": {"logprobs": []}, "refusal": {}}


class ResponseStream(TurnWriter):
    """Writes the events of one response, numbered from 0."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._number = -1
        self._part: dict[str, Any] = {}
        """The part of the message that is being written, as far as it is; empty: there is no message yet."""
        self._index = -1
        """Its place in the message."""

    def begin(self) -> Iterator[str]:
        body = {**response_body(self._turn), "status": "in_progress", "output": [], "usage": None}
        yield self._event("response.created", response=body)
        yield self._event("response.in_progress", response=body)

    def on_text(self, text: str) -> Iterator[str]:
        return self._write(text_part(text))

    def on_refusal(self, text: str) -> Iterator[str]:
        return self._write(refusal_part(text))

    def on_end(self, turn: Turn, sent: str) -> Iterator[str]:
        self._turn = turn
        if failure_of(turn) is None:
            text, refusal = unsent(turn, sent)
            if text or not (refusal or sent or calls_of(turn)):
                yield from self.on_text(text)
            yield from self.on_refusal(refusal) if refusal else ()
            if self._part:
                yield from self._end_message()
            thought = reasoning_items(turn)
            for item in thought:
                place = {"output_index": int(bool(self._part)), "item": item}
                yield self._event("response.output_item.added", **place)
                yield self._event("response.output_item.done", **place)
            for number, call in enumerate(calls_of(turn)):
                yield from self._call(number, call, number + bool(self._part) + len(thought))
        yield self._event(_last_event(turn), response=response_body(turn))

    def on_problem(self, problem: JsonResponse) -> Iterator[str]:
        """Yields an error, both as it is documented and as OpenAI sends it, within ``error``: the SDKs raise that."""
        error = error_form(problem)[0]["error"]
        documented = {name: error[name] for name in ("code", "message", "param")}
        yield self._event("error", **documented, error=error)

    def _write(self, piece: dict[str, Any]) -> Iterator[str]:
        """Adds to the part of this type, after the end of one of another type."""
        kind = piece["type"]
        if not self._part:
            yield self._event("response.output_item.added", output_index=0, item=self._begun)
        if self._part.get("type") != kind:
            yield from self._end_part(self._part) if self._part else ()
            self._index, self._part = self._index + 1, {**piece, CONTENT[kind]: ""}
            yield self._in_part("response.content_part.added", part=self._part)
        self._part[CONTENT[kind]] += piece[CONTENT[kind]]
        yield self._in_part(f"response.{kind}.delta", delta=piece[CONTENT[kind]], **LOGPROBS[kind])

    def _end_part(self, part: dict[str, Any]) -> Iterator[str]:
        kind = part["type"]
        content = {CONTENT[kind]: part[CONTENT[kind]]}
        yield self._in_part(f"response.{kind}.done", **content, **LOGPROBS[kind])
        yield self._in_part("response.content_part.done", part=part)

    def _end_message(self) -> Iterator[str]:
        parts = parts_of(self._turn)
        yield from self._end_part(parts[-1] if parts[-1]["type"] == self._part["type"] else self._part)
        item = message_item(self._turn, parts)
        yield self._event("response.output_item.done", output_index=0, item=item)

    def _call(self, number: int, call: RequestedCall, index: int) -> Iterator[str]:
        """``index``: its place in the output."""
        item, begun = (call_item(self._turn, number, call, status) for status in ("completed", "in_progress"))
        place = {"output_index": index}
        within = {**place, "item_id": item["id"]}
        yield self._event("response.output_item.added", **place, item=begun)
        yield self._event("response.function_call_arguments.delta", **within, delta=call.arguments)
        yield self._event("response.function_call_arguments.done", **within, name=call.name, arguments=call.arguments)
        yield self._event("response.output_item.done", **place, item=item)

    @property
    def _begun(self) -> dict[str, Any]:
        return message_item(self._turn, [], "in_progress")

    def _in_part(self, kind: str, /, **fields: Any) -> str:
        return self._event(kind, item_id=self._begun["id"], output_index=0, content_index=self._index, **fields)

    def _event(self, kind: str, /, **fields: Any) -> str:
        self._number += 1
        return sse_event({"type": kind, "sequence_number": self._number, **fields}, kind)


def _last_event(turn: Turn) -> str:
    if failure_of(turn) is not None:
        return "response.failed" if turn.state is TurnState.FAILED else "response.incomplete"
    return "response.incomplete" if is_cut_off(turn) else "response.completed"

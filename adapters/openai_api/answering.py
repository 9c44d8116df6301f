"""Answers a caller that waits for its turn: with a stream while it runs, or with its outcome."""

from __future__ import annotations

from collections.abc import Callable

from adapters.openai_api.asking import Watched
from adapters.openai_api.errors import error_form
from adapters.openai_api.sse import resolved_turn
from gateway.domain.models import Turn
from gateway.web.api.event_stream import STREAM_HEADERS, TurnWriter, event_stream
from gateway.web.api.problems import JsonResponse
from gateway.web.api.routes import HttpResponse, json_response
from gateway.web.api.views import timeout_response


def streamed(watched: Watched, writer: TurnWriter, *, ping_seconds: float) -> HttpResponse:
    """Returns the events of a turn, as ``writer`` writes them."""
    events = event_stream(watched.turn, watched.updates, writer, ping_seconds=ping_seconds)
    return HttpResponse(headers=STREAM_HEADERS, stream=events, on_close=watched.leaving.close)


async def whole(watched: Watched, response_of: Callable[[Turn], JsonResponse]) -> HttpResponse:
    """Waits for the outcome; returns the response for it, or 504 if there was none in time."""
    with watched.leaving:
        turn = await resolved_turn(watched.updates)
    return json_response(*(error_form(timeout_response(watched.turn)) if turn is None else response_of(turn)))

"""Answers a caller that waits for its turn: with a stream while it runs, or with its outcome."""

from __future__ import annotations

from collections.abc import Callable

from adapters.openai_api.asking import Watched
from adapters.openai_api.errors import error_form
from adapters.openai_api.sse import STREAM_HEADERS, TurnStream, resolved_turn, turn_events
from gateway.domain.models import Turn
from gateway.web.api.problems import JsonResponse
from gateway.web.api.routes import HttpResponse, json_response
from gateway.web.api.views import timeout_response


def streamed(watched: Watched, stream: TurnStream, *, ping_seconds: float) -> HttpResponse:
    """Returns the events of a turn, as ``stream`` makes them."""
    events = turn_events(watched.turn, watched.updates, stream, ping_seconds=ping_seconds)
    return HttpResponse(headers=STREAM_HEADERS, stream=events, on_close=watched.leaving.close)


async def whole(watched: Watched, response_of: Callable[[Turn], JsonResponse]) -> HttpResponse:
    """Waits for the outcome; returns the response for it, or 504 if there was none in time."""
    with watched.leaving:
        turn = await resolved_turn(watched.updates)
    return json_response(*(error_form(timeout_response(watched.turn)) if turn is None else response_of(turn)))

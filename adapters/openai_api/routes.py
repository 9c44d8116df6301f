"""Mounts the routes of OpenAI's API at ``/v1``, and where Azure's clients look for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from adapters.openai_api.errors import InvalidRequest, error_form, invalid_request
from adapters.openai_api.ids import new_id
from adapters.openai_api.settings import AZURE_PREFIXES, PREFIX
from gateway.web.api.cors import ANY, Cors
from gateway.web.api.routes import Api, Handler, HttpRequest, HttpResponse, Route, json_response


def api(load_routes: Callable[[], Sequence[Route]], origins: Sequence[str]) -> Api:
    """``load_routes``: returns them when the first is asked for, with paths below PREFIX; all of them may raise
    InvalidRequest. ``origins``: see ``Cors``.
    """
    cors = Cors(
        origins=origins,
        methods=("DELETE", "GET", "POST"),
        allowed_headers=(ANY,),  # each client adds its own, and none of them gives a page more than the key does
        exposed_headers=("OpenAI-Poll-After-Ms", "Retry-After", "X-Request-Id", "X-Should-Retry"),
    )

    def load() -> Sequence[Route]:
        return [replace(route, handle=_with_invalid_requests(route.handle)) for route in load_routes()]

    return Api(PREFIX, (), cors, AZURE_PREFIXES, error_form, load, partial(new_id, "req"))


def _with_invalid_requests(handle: Handler) -> Handler:
    async def handle_and_explain(request: HttpRequest) -> HttpResponse:
        try:
            return await handle(request)
        except InvalidRequest as exc:
            return json_response(*invalid_request(exc))

    return handle_and_explain

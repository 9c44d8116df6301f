"""Mounts the routes of OpenAI's API at ``/v1``, and where Azure's clients look for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from adapters.openai_api.errors import InvalidRequest, error_form, invalid_request
from adapters.openai_api.ids import new_id
from adapters.openai_api.settings import AZURE_PREFIXES, PREFIX
from gateway.web.api.cors import ANY, Cors
from gateway.web.api.problems import JsonResponse
from gateway.web.api.routes import Api, Route


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

    return Api(PREFIX, (), cors, AZURE_PREFIXES, _error_form, load_routes, partial(new_id, "req"))


def _error_form(response: JsonResponse, error: Exception | None) -> JsonResponse:
    return invalid_request(error) if isinstance(error, InvalidRequest) else error_form(response)

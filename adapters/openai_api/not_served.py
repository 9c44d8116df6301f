"""What OpenAI's API has and nobody here serves: refused by name, so that a program tells its user what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from adapters.openai_api.errors import NoSuchObject
from adapters.openai_api.settings import PREFIX
from gateway.web.api.routes import HttpRequest, HttpResponse, Route

NOT_SERVED: Mapping[str, Sequence[str]] = {
    "Embeddings": ("/embeddings",),
    "Audio": ("/audio/speech", "/audio/transcriptions", "/audio/translations"),
    "Images": ("/images/generations", "/images/edits", "/images/variations"),
    "Videos": ("/videos",),
    "Moderations": ("/moderations",),
    "Legacy completions": ("/completions",),
    "Batches": ("/batches",),
    "Evals": ("/evals",),
    "Containers": ("/containers",),
    "Fine-tuning": ("/fine_tuning/jobs",),
    "Uploads in parts": ("/uploads",),
    "Realtime sessions": ("/realtime/client_secrets", "/realtime/calls"),
    "Counting of input tokens": ("/responses/input_tokens",),
    "Compaction": ("/responses/compact",),
}
"""Paths by what they are about: developers.openai.com/api/reference."""
SERVED = "chat completions, responses, conversations, models, files, vector stores, assistants and threads"


def routes() -> Sequence[Route]:
    """Returns them, also where Azure's clients look for a deployment's."""
    return [
        Route(method, f"{PREFIX}{base}{path}", partial(_refuse, name))
        for method in ("GET", "POST")
        for name, paths in NOT_SERVED.items()
        for path in paths
        for base in ("", "/deployments/<deployment>")
    ]


async def _refuse(name: str, request: HttpRequest) -> HttpResponse:
    """Raises NoSuchObject."""
    raise NoSuchObject(f"{name}: not served by this gateway ({request.method} {request.path}). It serves {SERVED}.")

"""The routes of the Assistants API."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.openai_api.assistants.assistant_routes import AssistantRoutes
from adapters.openai_api.assistants.context import AssistantsContext
from adapters.openai_api.assistants.run_routes import RunRoutes
from adapters.openai_api.assistants.thread_routes import ThreadRoutes
from gateway.web.api.routes import Route


def routes(context: AssistantsContext) -> Sequence[Route]:
    """Returns all of them. ``/threads/runs`` comes before what has a thread's id in its place."""
    return (*AssistantRoutes(context).routes(), *RunRoutes(context).routes(), *ThreadRoutes(context).routes())

"""The Assistants API, version 2: assistants, threads, messages, runs, run steps."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.openai_api.assistants.assistant_routes import AssistantRoutes
from adapters.openai_api.assistants.room import Room
from adapters.openai_api.assistants.run_routes import RunRoutes
from adapters.openai_api.assistants.thread_routes import ThreadRoutes
from gateway.web.api.routes import Route


def routes(room: Room) -> Sequence[Route]:
    """Returns all of them. ``/threads/runs`` comes before what has a thread's id in its place."""
    return (*AssistantRoutes(room).routes(), *RunRoutes(room).routes(), *ThreadRoutes(room).routes())

"""Fixtures for tests of pushed messages: one gateway process with its routes."""

from __future__ import annotations

import pytest

from gateway.push import routes
from gateway.push.messages import PushMessages
from gateway.push.routes import PushRoutes
from gateway.web.api.api_keys import ApiKeys
from gateway.web.asgi_app import create_app
from tests.adapters.app_client import AppClient
from tests.gateway.worker_process import Start, WorkerProcess

KEY, OTHER_KEY = "push-key-one", "push-key-two"


async def is_ready() -> tuple[()]:
    return ()


@pytest.fixture
def process(start: Start) -> WorkerProcess:
    return start()


@pytest.fixture
def client(process: WorkerProcess) -> AppClient:
    """A client of a process into which two keys may push."""
    handlers = PushRoutes(
        ApiKeys((KEY, OTHER_KEY)),
        PushMessages([process.platform], process.assistants.router),
        process.store.schedules,
        process.async_inbox,
        max_prompt_chars=100,
        max_text_chars=200,
    )
    app = create_app([], process.async_inbox, is_ready, operations=routes.OPERATIONS, apis=[routes.api(handlers)])
    return AppClient(app, process.worker._loop)

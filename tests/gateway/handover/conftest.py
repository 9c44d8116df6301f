"""A process in which a person can take over."""

from __future__ import annotations

import pytest

from tests.gateway.worker_process import Start, WorkerProcess


@pytest.fixture
def process(start: Start) -> WorkerProcess:
    """A process with a conversation in which one message is answered."""
    process = start()
    process.say("one")
    process.platform.wait_for(1)
    return process

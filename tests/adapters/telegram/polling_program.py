"""A process that fetches updates and commits them, and may die in the middle of a batch: for a test of what is left."""

from __future__ import annotations

import os
import signal

from gateway.domain.models import TurnId
from gateway.ports.platform import ParsedUpdate
from storage.store import SqlStore
from tests.adapters.telegram.receiving import polling, settings
from tests.contracts.store_helpers import enqueue_one
from tests.fakes.recording_inbox import RecordingInbox


def main(api_url: str, database_url: str, last: str) -> None:
    """Until it is killed; which it does by itself once it has committed the message ``last``."""
    store = SqlStore(database_url)

    def commit(receipt: ParsedUpdate) -> None:
        for message in receipt.messages:
            enqueue_one(store, message, TurnId(f"turn {message.message_id} {os.getpid()}"))
            if message.text == last:
                os.kill(os.getpid(), signal.SIGKILL)

    with polling(settings(telegram_api_url=api_url), store, RecordingInbox(before=commit)):
        signal.pause()

"""Threads at a server without conversations: the history is sent along from our own transcript."""

from __future__ import annotations

import secrets

from gateway.domain.models import ThreadId

PREFIX = "local_"


def create_local_thread() -> ThreadId:
    return ThreadId(f"{PREFIX}{secrets.token_hex(12)}")


def is_local(thread_id: str) -> bool:
    return thread_id.startswith(PREFIX)

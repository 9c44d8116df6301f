"""What operators do, for the command line and the pages. Sync."""

from gateway.operations.blocking import block_person, unblock_person
from gateway.operations.erasure import (
    WRITTEN_DURING_DELETION,
    BackendThreads,
    ErasureResult,
    erase_person,
)
from gateway.operations.personal_export import export
from gateway.operations.recording import record_message
from gateway.operations.retrying import failed_turns, is_retriable, retry_all, retry_turn
from gateway.operations.stores import AdminStore
from gateway.operations.turn_timeline import TimelineEntry, timeline
from gateway.operations.views import approval_view, as_json, iso, parking_text, person_view, turn_view

__all__ = [
    "WRITTEN_DURING_DELETION",
    "AdminStore",
    "BackendThreads",
    "ErasureResult",
    "TimelineEntry",
    "approval_view",
    "as_json",
    "block_person",
    "erase_person",
    "export",
    "failed_turns",
    "is_retriable",
    "iso",
    "parking_text",
    "person_view",
    "record_message",
    "retry_all",
    "retry_turn",
    "timeline",
    "turn_view",
    "unblock_person",
]

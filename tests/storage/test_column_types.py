"""What the columns of our own types hold: processes of other versions read and compare it."""

from __future__ import annotations

from gateway.domain.audit import AuditEntry, AuditEvent
from storage.tables.column_types import AuditLog, AuditLogJson

ENTRIES = (AuditEntry(1.5, AuditEvent.RECEIVED, "web"), AuditEntry(2.0, AuditEvent.RUN_STARTED, "run „1“"))
STORED = '[[1.5, "received by", "web"], [2.0, "run", "run \\u201e1\\u201c"]]'


def test_an_audit_log_is_stored_as_a_list_of_lists() -> None:
    assert AuditLogJson.to_sql(ENTRIES) == AuditLogJson.to_sql(AuditLog(ENTRIES)) == STORED
    assert AuditLogJson.to_sql(()) == AuditLogJson.to_sql(AuditLog()) == "[]"


def test_an_audit_log_that_was_read_is_compared_as_it_was_stored() -> None:
    stored = STORED.replace(", ", ",")
    log = AuditLogJson.from_sql(stored)
    assert log == ENTRIES
    assert [type(entry.event) for entry in log] == [AuditEvent] * 2
    assert AuditLogJson.to_sql(log) == stored

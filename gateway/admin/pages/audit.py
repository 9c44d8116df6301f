"""The page of the audit trail: who did what, when, and to what; and its export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import flask

from gateway.admin import exports, search_params
from gateway.admin.context import AdminContext
from gateway.admin.sessions import actor
from gateway.logs import mask
from gateway.operations import iso
from gateway.ports.audit_trail import ActionFilter, AuditedAction, OperatorAction

FIELDS = ("actor", "action", "target", "span")
COLUMNS = ("number", "at", "actor", "action", "target", "detail")
MAX_NUMBER = 2**63 - 1
"""The largest that the database column holds."""


class AuditPages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._trail = context.store.audit_trail

    def show(self) -> str:
        fields, most = search_params.fields(FIELDS), search_params.PAGE_SIZE
        before = search_params.cursor_number(MAX_NUMBER)
        found = self._trail.find(self._criteria(fields), limit=most, before=before)
        return flask.render_template(
            "admin/audit.html",
            entries=found,
            fields=fields,
            actions=sorted(AuditedAction),
            spans=search_params.SPANS,
            query=search_params.query(fields),
            formats=exports.FORMATS,
            older=search_params.query(fields, before=found[-1].number) if len(found) == most else None,
        )

    def export(self, form: str) -> flask.Response:
        """Sends all entries that match as a file."""
        rows = map(_row, self._all(self._criteria(search_params.fields(FIELDS))))
        sent = exports.response("audit-trail", form, rows, COLUMNS)
        actor.record(self._trail, AuditedAction.AUDIT_TRAIL_EXPORTED, form)
        return sent

    def _criteria(self, fields: Mapping[str, str]) -> ActionFilter:
        since = search_params.begin_of(fields["span"], self._context.store)
        return ActionFilter(fields["actor"], fields["action"], fields["target"], since)

    def _all(self, criteria: ActionFilter) -> Iterator[OperatorAction]:
        return exports.in_pages(
            lambda last: self._trail.find(criteria, limit=exports.PAGE, before=last.number if last else None)
        )


def _row(entry: OperatorAction) -> dict[str, Any]:
    return {**asdict(entry), "at": iso(entry.at), "target": mask(entry.target), "detail": mask(entry.detail)}


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = AuditPages(context)
    blueprint.add_url_rule("/audit", "audit", pages.show)
    blueprint.add_url_rule("/audit.<form>", "export_audit", pages.export)

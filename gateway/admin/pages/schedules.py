"""The page of messages that are pushed at a time, or again and again, with a button to cancel each."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue

from gateway.admin import search_params
from gateway.admin.context import AdminContext
from gateway.admin.sessions import actor
from gateway.ports.audit_trail import AuditedAction


class SchedulePages:
    def __init__(self, context: AdminContext) -> None:
        self._schedules = context.schedules
        self._audit_trail = context.store.audit_trail

    def show(self) -> str:
        """Shows the newest of all owners."""
        found = self._schedules.listed(search_params.PAGE_SIZE)
        return flask.render_template("admin/schedules.html", schedules=found)

    def cancel(self, schedule_id: str) -> ResponseReturnValue:
        if self._schedules.cancel(schedule_id):
            actor.record(self._audit_trail, AuditedAction.SCHEDULE_CANCELLED, schedule_id)
        return flask.redirect(flask.url_for(".schedules"), 303)


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = SchedulePages(context)
    blueprint.add_url_rule("/schedules", "schedules", pages.show)
    blueprint.add_url_rule("/schedules/<schedule_id>/cancel", "cancel_schedule", pages.cancel, methods=["POST"])

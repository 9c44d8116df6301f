"""The page of answers and events that are posted to programs: what waits, and the dead letters, to send again."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue

from gateway.admin import search_params
from gateway.admin.context import AdminContext
from gateway.admin.sessions import actor
from gateway.ports.audit_trail import AuditedAction


class CallbackPages:
    def __init__(self, context: AdminContext) -> None:
        self._callbacks = context.callbacks
        self._audit_trail = context.store.audit_trail

    def show(self) -> str:
        most = search_params.PAGE_SIZE
        dead, waiting = self._callbacks.listed(most, dead=True), self._callbacks.listed(most, dead=False)
        return flask.render_template("admin/callbacks.html", callbacks=[*dead, *waiting])

    def resend(self, callback_id: str) -> ResponseReturnValue:
        if self._callbacks.resend(callback_id):
            actor.record(self._audit_trail, AuditedAction.CALLBACK_RESENT, callback_id)
        return flask.redirect(flask.url_for(".callbacks"), 303)


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = CallbackPages(context)
    blueprint.add_url_rule("/callbacks", "callbacks", pages.show)
    blueprint.add_url_rule("/callbacks/<callback_id>/resend", "resend_callback", pages.resend, methods=["POST"])

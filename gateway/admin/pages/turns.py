"""Pages that show one turn, list failed turns, and retry one or all of them."""

from __future__ import annotations

from dataclasses import replace

import flask
from flask.typing import ResponseReturnValue

from gateway import operations
from gateway.admin import search_params
from gateway.admin.context import AdminContext
from gateway.admin.names import names_of
from gateway.admin.pages import approvals, timeline
from gateway.admin.sessions import actor
from gateway.domain.errors import Conflict, TurnNotFound
from gateway.domain.models import TurnId, TurnState
from gateway.ports.audit_trail import AuditedAction


class TurnPages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def show(self, turn_id: str) -> str:
        turn = self._context.inbox.get_turn(TurnId(turn_id))
        held = approvals.held_calls_of(self._context, turn)
        return flask.render_template(
            "admin/turn.html",
            turn=turn,
            moments=operations.timeline(turn, held),
            stages=timeline.stages(turn),
            spans=timeline.spans(turn, self._context.turn_logs.lines(turn.id), self._context.store.now()),
            retriable=operations.is_retriable(turn),
            retried_as=timeline.retried_as(turn),
            waits_for=operations.parking_text(turn),
            retry_of=timeline.retry_of(turn),
            feedback=self._context.store.feedback_on(turn.id),
            approvals=[each for each in held if each.is_question],
            names=names_of(
                self._context.store.people, [turn.message.key], [(turn.message.key.platform, turn.message.author)]
            ),
        )

    def failed(self) -> str:
        search = replace(search_params.requested_search(), state=TurnState.FAILED)
        found = self._context.store.find_turns(
            search, limit=search_params.PAGE_SIZE, before=search_params.cursor_turn(self._context.store)
        )
        return flask.render_template(
            "admin/failed.html",
            turns=found,
            retriable=[turn.id for turn in found if operations.is_retriable(turn)],
            retried_as={turn.id: timeline.retried_as(turn) for turn in found},
            fields=search_params.form_fields(),
            platforms=self._context.platforms,
            older=search_params.next_page_url(found, found[-1].id) if found else None,
            done=flask.request.args.get("done", type=int),
            left=flask.request.args.get("left", 0, type=int),
        )

    def retry(self, turn_id: str) -> ResponseReturnValue:
        again = self._retry(TurnId(turn_id))
        return flask.redirect(flask.url_for(".turn", turn_id=again), 303)

    def retry_all(self) -> ResponseReturnValue:
        """Retries the turns that the form lists, after a confirmation page."""
        named = flask.request.form.getlist("turn")[: search_params.PAGE_SIZE]
        if not flask.request.form.get("confirmed"):
            return flask.render_template("admin/confirm_retry.html", turns=named)
        # The list has the newest first; reversed, turns of one conversation keep their order.
        done = sum(map(self._try_retry, map(TurnId, reversed(named))))
        return flask.redirect(flask.url_for(".failed", done=done, left=len(named) - done), 303)

    def _try_retry(self, turn_id: TurnId) -> bool:
        """Returns False if the turn was already retried, or no longer exists."""
        try:
            self._retry(turn_id)
        except (Conflict, TurnNotFound):
            return False
        return True

    def _retry(self, turn_id: TurnId) -> TurnId:
        again = operations.retry_turn(self._context.store, turn_id)
        actor.record(self._context.store.audit_trail, AuditedAction.TURN_RETRIED, turn_id, again)
        return again


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = TurnPages(context)
    blueprint.add_url_rule("/turns/<turn_id>", "turn", pages.show)
    blueprint.add_url_rule("/turns/<turn_id>/retry", "retry", pages.retry, methods=["POST"])
    blueprint.add_url_rule("/failed", "failed", pages.failed)
    blueprint.add_url_rule("/failed/retry", "retry_all", pages.retry_all, methods=["POST"])

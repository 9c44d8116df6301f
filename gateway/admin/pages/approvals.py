"""What people are asked about calls of tools: shown with turns and on the overview, and decided by operators."""

from __future__ import annotations

from collections.abc import Sequence

import flask
from flask.typing import ResponseReturnValue

from gateway.admin.context import AdminContext
from gateway.admin.sessions import actor
from gateway.domain.approvals import OPERATORS, REFUSALS, Approval, Decider, Verdict, VerdictResult
from gateway.domain.errors import TurnNotFound
from gateway.domain.models import Turn
from gateway.ports.audit_trail import AuditedAction

MAX_LISTED = 20
NOT_ALLOWED = "Operators may not decide this: approvers of the tool does not name them."
STATUSES = {VerdictResult.NOT_ALLOWED: 403, VerdictResult.TOO_LATE: 409, VerdictResult.UNKNOWN: 404}


class ApprovalPages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def decide(self, approval_id: str) -> ResponseReturnValue:
        form = flask.request.form
        decider = Decider(is_operator=True, name=actor.actor())
        verdict = Verdict(approval_id, form.get("digest", ""), form.get("decision") == "approve", decider)
        result = self._context.inbox.decide(verdict)
        if result is not VerdictResult.DECIDED:
            message = NOT_ALLOWED if result is VerdictResult.NOT_ALLOWED else REFUSALS[result]
            return flask.render_template("admin/problem.html", message=message), STATUSES[result]
        asked = self._context.store.get_approval(approval_id)
        if asked is None:
            raise TurnNotFound("There is no such approval.")
        given = "approved" if verdict.approves else "denied"
        actor.record(
            self._context.store.audit_trail, AuditedAction.CALL_DECIDED, asked.turn_id, f"{given} {asked.tool}"
        )
        return flask.redirect(flask.url_for(".turn", turn_id=asked.turn_id), 303)


def held_calls_of(context: AdminContext, turn: Turn) -> Sequence[Approval]:
    """Returns what people were asked about a turn, and the calls beside."""
    return context.store.approvals_of(turn.id) if turn.rounds else ()


def waiting(context: AdminContext, platform: str = "") -> Sequence[tuple[Approval, str]]:
    """Returns what waits for somebody, each with the name of its platform; the oldest first."""
    found = context.store.open_approvals(MAX_LISTED, platform=platform)
    turns = [(each, context.store.get_turn(each.turn_id)) for each in found]
    return [(each, turn.message.key.platform) for each, turn in turns if turn is not None]


def is_for_operators(approval: Approval) -> bool:
    """Returns whether an operator may decide it."""
    return approval.is_open and OPERATORS in approval.approvers


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = ApprovalPages(context)
    blueprint.add_app_template_test(is_for_operators, "admin_for_operators")
    blueprint.add_url_rule("/approvals/<approval_id>", "decide", pages.decide, methods=["POST"])

"""The operator's pages show what waits for an approval, and operators decide it if the tool's approvers name them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.domain.approvals import Decision, Verdict, VerdictResult, may_decide
from gateway.ports.audit_trail import ActionFilter, AuditedAction
from gateway.ports.inbox import Inbox
from gateway.ports.store import Store
from tests.contracts.store_approvals import hold, park
from tests.gateway.admin.harness import AdminHarness, open_harness, submit_form, text_of


class _DecidingInbox:
    """Decides as the real one does, for the pages; everything else is the harness's."""

    def __init__(self, store: Store, inbox: Inbox) -> None:
        self._store, self._inbox = store, inbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    def decide(self, verdict: Verdict) -> VerdictResult:
        asked = self._store.get_approval(verdict.approval_id)
        turn = None if asked is None else self._store.get_turn(asked.turn_id)
        if asked is None or turn is None or asked.digest != verdict.digest:
            return VerdictResult.UNKNOWN
        if not may_decide(asked.approvers, turn.message, verdict.decider):
            return VerdictResult.NOT_ALLOWED
        decision = Decision.APPROVED if verdict.approves else Decision.DENIED
        decided = self._store.decide(asked.id, decision, str(verdict.decider), verdict.decider.name)
        return VerdictResult.TOO_LATE if decided is None else VerdictResult.DECIDED


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        inbox = cast("Inbox", _DecidingInbox(scene.store, scene.context.inbox))
        scene.context = replace(scene.context, inbox=inbox)
        yield scene


@pytest.mark.parametrize(("who", "may"), [("operators", True), ("asker", False)])
def test_what_waits_is_shown_and_decided(scene: AdminHarness, who: str, *, may: bool) -> None:
    turn = scene.enqueue("Refund it")
    (claim,) = scene.store.claim("worker", ["fake"], 1)
    claim, (asked, _) = hold(scene.store, claim, approvers=(who,))
    park(scene.store, claim)
    client = scene.signed_in_client()
    overview = client.get("/admin")
    assert "Waiting for an approval" in text_of(overview)
    assert f"/admin/turns/{turn.id}" in overview.text
    page = client.get(f"/admin/turns/{turn.id}")
    assert '"order": 1' in text_of(page)
    assert (">Approve<" in page.text) is may
    path, fields = f"/admin/approvals/{asked.id}", {"digest": asked.digest, "decision": "deny"}
    wrong = submit_form(client, "/admin", path, **{**fields, "digest": "0"})
    assert wrong.status_code == 404
    assert client.post(path, data=fields).status_code == 403  # without the form's token
    decided = submit_form(client, "/admin", path, **fields)
    assert decided.status_code == (303 if may else 403)
    stored = scene.store.approvals_of(turn.id)[0]
    assert (stored.decision, stored.decided_by) == ((Decision.DENIED, "operator") if may else (None, ""))
    trail = scene.context.store.audit_trail.find(ActionFilter(), limit=9)
    audited = [(each.actor, each.target, each.detail) for each in trail if each.action == AuditedAction.CALL_DECIDED]
    assert audited == [("operator", turn.id, "denied refund")] * may
    if may:
        assert "denied by operator, " in text_of(client.get(f"/admin/turns/{turn.id}"))
        assert submit_form(client, "/admin", path, **fields).status_code == 409
        assert "Waiting for an approval" not in text_of(client.get("/admin"))

"""The contract of AuditTrail. Subclasses set the database."""

from __future__ import annotations

from gateway.ports.audit_trail import ActionFilter, AuditedAction
from storage.store import SqlStore


class AuditTrailContract:
    """Subclasses provide ``store``, with an empty audit trail."""

    def test_entries_are_listed_newest_first_and_paged(self, store: SqlStore) -> None:
        trail = store.audit_trail
        for number in range(5):
            trail.record("ann", AuditedAction.TURN_RETRIED, f"turn_{number}", "as turn_x")
        first = trail.find(ActionFilter(), limit=3)
        rest = trail.find(ActionFilter(), limit=3, before=first[-1].number)
        assert [each.target for each in (*first, *rest)] == [f"turn_{number}" for number in (4, 3, 2, 1, 0)]
        assert (first[0].actor, first[0].action, first[0].detail) == ("ann", "turn.retried", "as turn_x")
        assert abs(first[0].at - store.now()) < 60

    def test_each_criterion_leaves_out_the_others(self, store: SqlStore) -> None:
        trail = store.audit_trail
        trail.record("command line: Zoë", AuditedAction.PERSON_BLOCKED, "slack:U1", "SPAM")
        trail.record("ann", AuditedAction.PERSON_UNBLOCKED, "slack:U1")
        trail.record("ann", "of.a.later.version", "x\x00y")
        now = store.now()
        for criteria, found in (
            (ActionFilter(), 3),
            (ActionFilter(actor="ZOË" if store.is_shared is False else "zo"), 1),
            (ActionFilter(action="person.blocked"), 1),
            (ActionFilter(action="person"), 0),
            (ActionFilter(target="u1"), 2),
            (ActionFilter(target="spam"), 1),
            (ActionFilter(target="%"), 0),
            (ActionFilter(since=now - 60), 3),
            (ActionFilter(since=now + 60), 0),
            (ActionFilter(until=now - 60), 0),
            (ActionFilter(actor="ann", target="slack:U1", until=now + 60), 1),
        ):
            assert len(trail.find(criteria, limit=10)) == found, criteria

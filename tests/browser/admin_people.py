"""Gives the people and channels of the history names, charges budgets, and does what operators do."""

from __future__ import annotations

from gateway.domain.models import Turn, TurnState
from gateway.domain.platform_events import Feedback
from gateway.policy.rules import Rules
from gateway.ports.audit_trail import AuditedAction
from gateway.ports.people import ChannelId, PersonId, Sighting
from gateway.ports.reporting import TurnFilter
from storage.store import SqlStore

PEOPLE = (
    Sighting(PersonId("slack", "U01ANN"), "Ann Kowalczyk", "slack", "T024BE7LD"),
    Sighting(PersonId("slack", "U02BEN"), "Ben Okafor", "slack", "T024BE7LD"),
    Sighting(PersonId("slack", "U03CARO"), "Carolina Hernández-Rodríguez de la Vega", "slack", "T024BE7LD"),
    Sighting(PersonId("telegram", "71234567"), "נועה לוי", "telegram"),
    Sighting(PersonId("telegram", "88120045"), "Yuki", "telegram"),
    Sighting(PersonId("http", "web-visitor"), "", "http", is_claimed=True),
)
CHANNELS = {
    ChannelId("slack", "C00XKQ4"): "#support",
    ChannelId("slack", "C01XKQ4"): "#random",
    ChannelId("slack", "C02XKQ4"): "#project-apollo-launch-and-press",
    ChannelId("telegram", "-1001234500"): "Book club",
}


def operate(store: SqlStore, rules: Rules) -> None:
    store.people.note(PEOPLE, CHANNELS)
    for number, turn in enumerate(store.find_turns(TurnFilter(state=TurnState.DELIVERED), limit=60)):
        _charge(store, rules, turn)
        if number % 3 == 0:
            store.record_feedback(Feedback(turn.id, turn.message.author, "bad" if number % 5 == 0 else "good"))
    failed = store.find_turns(TurnFilter(state=TurnState.FAILED), limit=3)
    for turn in failed:
        store.audit_trail.record(
            "ann@example.com", AuditedAction.TURN_RETRIED, turn.id, "turn_5d1c0f6b2a9e8d7c6b5a4f3e"
        )
    blocked = PersonId("telegram", "71234567")
    store.blocks.add(blocked, "ben@example.com", "asks for homework all night, was warned twice")
    store.blocks.count_refused({blocked: 14})
    store.blocks.try_tell(blocked)
    for actor, action, target, detail in (
        (
            "ben@example.com",
            AuditedAction.PERSON_BLOCKED,
            str(blocked),
            "asks for homework all night, was warned twice",
        ),
        ("command line: root@gateway-1", AuditedAction.CONFIGURATION_RELOADED, "gateway-1:17:9a", "reloaded: routes"),
        ("command line: root@gateway-1", AuditedAction.PERSON_FORGOTTEN, "slack:U0XGONE", "12 turns, 0 threads left"),
        ("ann@example.com", AuditedAction.CONVERSATION_RESET, "4", "turn_0a1b2c3d4e5f60718293a4b5"),
        ("ann@example.com", AuditedAction.FEEDBACK_EXPORTED, "csv", ""),
    ):
        store.audit_trail.record(actor, action, target, detail)


def _charge(store: SqlStore, rules: Rules, turn: Turn) -> None:
    budgets = [each.budget for each in rules.applicable_budgets(turn.message, store.now())]
    if store.ledger.admit(turn.id, budgets).is_granted:
        store.ledger.charge(turn.id, turn.cost)

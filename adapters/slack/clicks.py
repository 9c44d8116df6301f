"""Reads clicks on the buttons under replies and questions. No I/O.

docs.slack.dev/reference/interaction-payloads/block_actions-payload
"""

from __future__ import annotations

from adapters.base.approvals import verdict_of
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.slack.event_context import id_of
from adapters.slack.formatter import APPROVAL_ACTION, FEEDBACK_ACTION, read_feedback
from gateway.domain.approvals import Decider, Verdict
from gateway.domain.platform_events import Feedback
from gateway.ports.platform import ParsedUpdate


def clicks(payload: Fields, platform: str) -> ParsedUpdate:
    """Returns what was clicked; nothing for buttons that are not ours. ``platform``: the adapter's name."""
    who = object_in(payload, "user")
    author = id_of(who, "id")
    if not author:
        return ParsedUpdate()
    decider = Decider(platform, author, name=text_in(who, "name") or text_in(who, "username"))
    events = [_click(action, decider) for action in objects_in(payload, "actions")]
    return ParsedUpdate(events=tuple(filter(None, events)))


def _click(action: Fields, who: Decider) -> Feedback | Verdict | None:
    name, value = text_in(action, "action_id"), text_in(action, "value")
    if name == FEEDBACK_ACTION and (read := read_feedback(value)):
        return Feedback(read[0], who.user, read[1])
    return verdict_of(value, who) if name.startswith(APPROVAL_ACTION) else None

"""Finds out whose an event is that could not be parsed, as far as it can be recognised."""

from __future__ import annotations

import json

from adapters.base.json_fields import Fields, object_in, text_in
from gateway.ports.unparsed_updates import UnparsedUpdate

SECRETS = ("token", "response_url")
"""Fields of an envelope with which somebody else could act: docs.slack.dev/interactivity/handling-user-interaction"""


def identify(name: str, payload: Fields) -> UnparsedUpdate:
    """Returns an event, a click or a command as it is stored. ``name``: the adapter's. Raises nothing."""
    event = object_in(payload, "event") or payload
    body = json.dumps({name: value for name, value in payload.items() if name not in SECRETS})
    update_id = text_in(payload, "event_id") or text_in(payload, "trigger_id")
    return UnparsedUpdate(name, _id(payload, "team"), update_id, body, _id(event, "user"), _id(event, "channel"))


def _id(fields: Fields, name: str) -> str:
    """Returns an id, which is a field, a field of an object, or a field with ``_id`` at its end."""
    return text_in(fields, name) or text_in(object_in(fields, name), "id") or text_in(fields, f"{name}_id")

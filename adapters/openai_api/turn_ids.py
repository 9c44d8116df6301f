"""The ids of completions, responses and items: made of the id of the turn that they are."""

from __future__ import annotations

import re

from gateway.domain.models import TurnId

TURN_PREFIX = "turn_"
RESPONSE_PREFIX = "resp_"
NAME = re.compile(r"[0-9a-f]{24}")
THREAD_NAME = re.compile(r"[A-Za-z0-9_\-]{1,128}")


def name_of(turn_id: TurnId) -> str:
    """Returns what a turn's id has after its prefix."""
    return turn_id.removeprefix(TURN_PREFIX)


def response_id(turn_id: TurnId) -> str:
    return f"{RESPONSE_PREFIX}{name_of(turn_id)}"


def turn_of_response(identity: str) -> TurnId | None:
    """Returns the turn that a response is; None for what cannot be the id of one."""
    name = identity.removeprefix(RESPONSE_PREFIX)
    if not identity.startswith(RESPONSE_PREFIX) or not NAME.fullmatch(name):
        return None
    return TurnId(f"{TURN_PREFIX}{name}")

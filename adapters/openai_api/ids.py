"""Ids with OpenAI's prefixes. A run, a completion and a response is a turn: their ids, and those of replies, steps and
items, are made of the id of the turn.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from gateway.domain.models import TurnId

TURN_PREFIX = "turn_"
RUN = re.compile(r"run_([0-9a-zA-Z_]{1,64})")
MESSAGE = re.compile(r"msg_([0-9a-f]{24})(?:a(\d{1,4}))?")
STEP = re.compile(r"step_([0-9a-f]{24})(?:c(\d{1,4}))?")
RESPONSE = re.compile(r"resp_([0-9a-f]{24})")
ITEM = re.compile(r"(?:msg|fc|fco)_([0-9a-f]{24})(?:_\w{1,9})?", re.ASCII)
"""An item of a response: of its output, or of its input."""
OBJECT_ID = re.compile(r"[A-Za-z0-9_\-]{1,128}")
"""What a client may name: an assistant, a thread, a vector store, whoever made its id."""


def new_id(prefix: str) -> str:
    """Returns a new id such as ``thread_…``."""
    return f"{prefix}_{secrets.token_hex(12)}"


def name_of(turn: TurnId) -> str:
    """Returns what a turn's id has after its prefix."""
    return turn.removeprefix(TURN_PREFIX)


def response_id(turn: TurnId) -> str:
    return f"resp_{name_of(turn)}"


def turn_of_response(response: str) -> TurnId | None:
    """Returns the turn that a response is; None for what cannot be the id of one."""
    found = RESPONSE.fullmatch(response)
    return TurnId(f"{TURN_PREFIX}{found[1]}") if found else None


def response_of_item(item: str) -> str | None:
    """Returns the response that an item belongs to; None for what cannot be the id of one."""
    found = ITEM.fullmatch(item)
    return f"resp_{found[1]}" if found else None


def run_of(turn: TurnId) -> str:
    return f"run_{name_of(turn)}"


def turn_of_run(run: str) -> TurnId | None:
    """Returns the turn of a run; None if it is no run's id."""
    found = RUN.fullmatch(run)
    return TurnId(f"{TURN_PREFIX}{found[1]}") if found else None


def reply_of(turn: TurnId) -> str:
    """Returns the id of the message with a turn's reply."""
    return f"msg_{name_of(turn)}"


def additional_of(turn: TurnId, index: int) -> str:
    """Returns the id of a message that came with a run."""
    return f"msg_{name_of(turn)}a{index}"


@dataclass(frozen=True, slots=True)
class Derived:
    """What the id of a message or a step says that belongs to a turn."""

    turn: TurnId
    index: int | None
    """Of a message that came with the run, or of a round of calls; None: the reply."""


def derived(pattern: re.Pattern[str], name: str) -> Derived | None:
    """``pattern``: MESSAGE or STEP."""
    found = pattern.fullmatch(name)
    return Derived(TurnId(f"{TURN_PREFIX}{found[1]}"), int(found[2]) if found[2] else None) if found else None


def step_of(turn: TurnId, index: int | None = None) -> str:
    """Returns the id of the step that wrote the reply, or of a round of calls."""
    return f"step_{name_of(turn)}{'' if index is None else f'c{index}'}"

"""The body of ``POST /messages``, and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey
from gateway.ports.schedules import Push
from gateway.push import cron
from gateway.web.api.json_body import STORABLE, STORABLE_PATTERN, VISIBLE, VISIBLE_PATTERN

MAX_NAME_CHARS = 200
LATE_SECONDS = 60.0
"""So much later than it was due, a scheduled message counts as missed."""

Name = Annotated[str, Field(max_length=MAX_NAME_CHARS, json_schema_extra={"pattern": STORABLE_PATTERN}), STORABLE]
Words = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": VISIBLE_PATTERN}), STORABLE, VISIBLE]


class PushRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    platform: Name = Field(description="Such as `slack`, `telegram` or `discord`.")
    channel: Name = Field(description="The channel's id at the platform.")
    workspace: Name = Field("", description="The workspace's, server's or bot's id, where the platform has several.")
    topic: Name = Field("", description="The thread or topic in the channel.")
    text: Words | None = Field(None, description="What to post, in Markdown.")
    prompt: Words | None = Field(None, description="What to ask the assistant, whose reply is posted.")
    assistant: Name | None = Field(None, description="Which assistant is asked, if there are several.")
    at: Name | None = Field(None, description="When: a time with its zone, in ISO 8601. Left out: now.")
    every: Name | None = Field(None, description="When, again and again: five fields in cron's syntax.")
    time_zone: Name = Field("UTC", description="The zone of `every`, by its IANA name.")


@dataclass(frozen=True, slots=True)
class PushOrder:
    """What to push, and when."""

    push: Push
    first_at: float | None = None
    """Seconds since the epoch; None: now."""
    every: str = ""
    time_zone: str = "UTC"


def order_of(body: PushRequest, now: float, *, max_prompt_chars: int, max_text_chars: int) -> PushOrder:
    """Returns what a request asks for. Raises MalformedRequest."""
    if (body.text is None) is (body.prompt is None):
        raise MalformedRequest("Send either `text` or `prompt`.", code="invalid_field")
    if body.at is not None and body.every is not None:
        raise MalformedRequest("Send `at` or `every`, not both.", code="invalid_field")
    _check_length("prompt", body.prompt, max_prompt_chars)
    _check_length("text", body.text, max_text_chars)
    place = ConversationKey(body.platform, body.workspace, body.channel, body.topic)
    push = Push(place, body.text or "", body.prompt or "", body.assistant or "")
    if body.at is not None:
        return PushOrder(push, cron.parse_time(body.at))
    if body.every is not None:
        first_at = cron.first_tick(body.every, body.time_zone, now)
        return PushOrder(push, first_at, body.every, body.time_zone)
    return PushOrder(push)


def _check_length(field: str, text: str | None, most: int) -> None:
    if text is not None and len(text) > most:
        raise MalformedRequest(f"`{field}` must have at most {most} characters.", code=f"{field}_too_long")

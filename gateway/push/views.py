"""Builds the JSON of pushed messages and schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from gateway.domain.models import Turn, TurnState
from gateway.ports.schedules import Schedule
from gateway.web.api import problems, views
from gateway.web.api.problems import Problem


class PushAccepted(BaseModel):
    """What became of the request: a turn, or a schedule whose ticks become turns."""

    turn_id: str | None = None
    schedule_id: str | None = None
    state: TurnState | None = None
    next_at: datetime | None = None


class PushView(BaseModel):
    """A pushed message. Times are ISO 8601 in UTC, or null if that has not happened yet."""

    turn_id: str
    platform: str
    workspace: str
    channel: str
    topic: str
    state: TurnState
    prompt: str
    text: str = Field(description="What was posted, or is about to be.")
    error: Problem | None = Field(description="Why the assistant wrote nothing, or the platform did not take it.")
    received_at: datetime
    answered_at: datetime | None
    delivered_at: datetime | None


class ScheduleView(BaseModel):
    schedule_id: str
    platform: str
    workspace: str
    channel: str
    topic: str
    text: str
    prompt: str
    assistant: str
    every: str = Field(description="Empty: once.")
    time_zone: str
    next_at: datetime | None = Field(description="When it is due next; null: never again.")
    created_at: datetime
    last_turn_id: str | None = Field(description="The turn of its newest tick.")
    problem: str = Field(description="Why its newest tick became no turn; empty if it became one.")


class ScheduleList(BaseModel):
    schedules: list[ScheduleView] = Field(description="The newest first.")


def accepted_turn(turn: Turn) -> dict[str, Any]:
    return _json(PushAccepted(turn_id=turn.id, state=turn.state))


def accepted_schedule(schedule: Schedule) -> dict[str, Any]:
    return _json(PushAccepted(schedule_id=schedule.id, next_at=_time(schedule.next_at)))


def turn_body(turn: Turn) -> dict[str, Any]:
    key, failure = turn.message.key, turn.failure or views.failure_of(turn)
    return _json(
        PushView(
            turn_id=turn.id,
            platform=key.platform,
            workspace=key.workspace,
            channel=key.channel,
            topic=key.topic,
            state=turn.state,
            prompt=turn.message.text,
            text=turn.reply,
            error=Problem(**problems.from_failure(failure)[0]["error"]) if failure else None,
            received_at=datetime.fromtimestamp(turn.received_at, UTC),
            answered_at=_time(turn.answered_at),
            delivered_at=_time(turn.delivered_at),
        )
    )


def schedule_view(schedule: Schedule) -> ScheduleView:
    push, place = schedule.push, schedule.push.place
    return ScheduleView(
        schedule_id=schedule.id,
        platform=place.platform,
        workspace=place.workspace,
        channel=place.channel,
        topic=place.topic,
        text=push.text,
        prompt=push.prompt,
        assistant=push.assistant,
        every=schedule.every,
        time_zone=schedule.time_zone,
        next_at=_time(schedule.next_at),
        created_at=datetime.fromtimestamp(schedule.created_at, UTC),
        last_turn_id=schedule.last_turn,
        problem=schedule.problem,
    )


def schedules_body(schedules: list[ScheduleView]) -> dict[str, Any]:
    return _json(ScheduleList(schedules=schedules))


def _json(view: BaseModel) -> dict[str, Any]:
    return view.model_dump(mode="json")


def _time(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)

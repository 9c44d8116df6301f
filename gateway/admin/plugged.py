"""Platforms and backend: what is configured, whether each answers now, and what went wrong there last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import flask

from gateway.admin.desk import Desk
from gateway.admin.kept import Kept
from gateway.catalogue import Search
from gateway.errors import AssistantError
from gateway.messages import Turn, TurnState
from gateway.ports import Check

CHECK_SECONDS = 5.0
"""How long an answer holds, so that nobody can hammer a platform by loading a page."""
LATEST = 100
"""Failed turns among which the backend's newest one is looked for."""

Checked = Mapping[str, Sequence[Check]]


@dataclass(frozen=True, slots=True)
class Plugged:
    """Something that is plugged in here, and what is known of it."""

    name: str
    what: str
    about: str
    checks: Sequence[Check]
    last: Turn | None
    """The newest turn that failed there."""

    @property
    def answers(self) -> bool:
        return all(check.ok for check in self.checks)


class PluggedIn:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._checks: Kept[Checked] = Kept()

    def show(self) -> str:
        checked = self._checks.get("all", CHECK_SECONDS, self._desk.checks)
        return flask.render_template("admin/platforms.html", plugged=list(self._each(checked)))

    def _each(self, checked: Checked) -> Iterator[Plugged]:
        desk = self._desk
        for name in desk.platforms:
            yield Plugged(name, "platform", "", checked.get(name, ()), self._last_of(name))
        backend = checked.get(desk.backend, ())
        yield Plugged(desk.backend, "backend", desk.about, backend, self._last_of_backend())
        for name, checks in checked.items():
            if name not in desk.platforms and name != desk.backend:
                yield Plugged(name, "", "", checks, None)

    def _last_of(self, platform: str) -> Turn | None:
        found = self._desk.catalogue.find(Search(platform=platform, state=TurnState.FAILED), limit=1)
        return found[0] if found else None

    def _last_of_backend(self) -> Turn | None:
        """Whatever platform it was for: a failure that has a code of the assistant's."""
        latest = self._desk.catalogue.find(Search(state=TurnState.FAILED), limit=LATEST)
        codes = set(_codes(AssistantError))
        return next((turn for turn in latest if turn.failure and turn.failure.code in codes), None)


def _codes(kind: type[AssistantError]) -> Iterator[str]:
    yield kind.code
    for narrower in kind.__subclasses__():
        yield from _codes(narrower)


def add_routes(blueprint: flask.Blueprint, desk: Desk) -> None:
    blueprint.add_url_rule("/platforms", "platforms", PluggedIn(desk).show)

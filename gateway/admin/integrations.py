"""The page of platforms and backend: what is configured, whether each one works, and its last failed turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import flask

from gateway.admin.context import Desk
from gateway.admin.ttl_cache import Kept
from gateway.domain.errors import AssistantError
from gateway.domain.models import Turn, TurnState
from gateway.ports.check import Check
from gateway.ports.reporting import Search

CHECK_SECONDS = 5.0
"""Seconds for which results are cached, so that reloading the page does not flood a platform with requests."""
LATEST = 100
"""How many recent failed turns are searched for the backend's last failure."""

Checked = Mapping[str, Sequence[Check]]


@dataclass(frozen=True, slots=True)
class Plugged:
    """A platform, the backend or the database, with its check results."""

    name: str
    what: str
    about: str
    checks: Sequence[Check]
    last: Turn | None
    """The newest turn that failed because of it."""

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
        """Returns the newest turn of any platform that failed with an error code of the assistant."""
        latest = self._desk.catalogue.find(Search(state=TurnState.FAILED), limit=LATEST)
        codes = set(_codes(AssistantError))
        return next((turn for turn in latest if turn.failure and turn.failure.code in codes), None)


def _codes(kind: type[AssistantError]) -> Iterator[str]:
    yield kind.code
    for narrower in kind.__subclasses__():
        yield from _codes(narrower)


def add_routes(blueprint: flask.Blueprint, desk: Desk) -> None:
    blueprint.add_url_rule("/platforms", "platforms", PluggedIn(desk).show)

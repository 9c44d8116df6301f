"""The page of platforms and backend: what is configured, whether each one works, and its last failed turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import flask

from gateway.admin.context import AdminContext
from gateway.domain.errors import AssistantError
from gateway.domain.models import Turn, TurnState
from gateway.ports.check import CheckResult
from gateway.ports.reporting import TurnFilter

ResultsByName = Mapping[str, Sequence[CheckResult]]


@dataclass(frozen=True, slots=True)
class Integration:
    """A platform, the backend or the database, with its check results."""

    name: str
    kind: str
    description: str
    checks: Sequence[CheckResult]
    last_failed: Turn | None
    """The newest turn that failed because of it."""

    @property
    def is_healthy(self) -> bool:
        return all(check.ok for check in self.checks)


class IntegrationsPage:
    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def show(self) -> str:
        found = list(self._integrations(self._context.checks()))
        return flask.render_template("admin/platforms.html", integrations=found)

    def _integrations(self, results: ResultsByName) -> Iterator[Integration]:
        context = self._context
        for name in context.platforms:
            yield Integration(name, "platform", "", results.get(name, ()), self._last_failure_on(name))
        backend = results.get(context.backend, ())
        yield Integration(context.backend, "backend", context.about, backend, self._last_backend_failure())
        for name, checks in results.items():
            if name not in context.platforms and name != context.backend:
                yield Integration(name, "", "", checks, None)

    def _last_failure_on(self, platform: str) -> Turn | None:
        found = self._context.store.find_turns(TurnFilter(platform=platform, state=TurnState.FAILED), limit=1)
        return found[0] if found else None

    def _last_backend_failure(self) -> Turn | None:
        """Returns the newest turn of any platform that failed with an error code of the assistant."""
        of_assistant = TurnFilter(state=TurnState.FAILED, failure_codes=tuple(set(_error_codes(AssistantError))))
        return next(iter(self._context.store.find_turns(of_assistant, limit=1)), None)


def _error_codes(error_class: type[AssistantError]) -> Iterator[str]:
    yield error_class.code
    for narrower in error_class.__subclasses__():
        yield from _error_codes(narrower)


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    blueprint.add_url_rule("/platforms", "platforms", IntegrationsPage(context).show)

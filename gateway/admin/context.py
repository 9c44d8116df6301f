"""What the operator's pages work with: the ports, and the platforms and backend of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.admin.settings import AdminSettings
from gateway.configuration import Configuration
from gateway.domain.models import DEFAULT_ASSISTANT
from gateway.operations import AdminStore
from gateway.operations.erasure import CoroutineRunner
from gateway.policy.rules import Rules
from gateway.ports.budgets import BudgetReport, BudgetStore
from gateway.ports.callbacks import Callbacks
from gateway.ports.check import CheckResult
from gateway.ports.feedback import FeedbackReport
from gateway.ports.handovers import Handovers
from gateway.ports.inbox import Inbox
from gateway.ports.schedules import Schedules
from gateway.ports.turn_log import TurnLogs

RunChecks = Callable[[], Mapping[str, Sequence[CheckResult]]]
"""Checks each platform, the backend and the database; returns the results by name.

Called from request threads; does I/O; raises nothing, and returns within the time an operator waits for a page.
"""


@dataclass(frozen=True, slots=True)
class RunningBackend:
    """The backend of one assistant, without secrets."""

    assistant: str
    name: str
    model: str
    """Empty if there is none."""
    about: str
    """``Assistant.description``."""
    checked_as: str
    """Its name in the results of ``checks``."""


@dataclass(frozen=True, slots=True)
class AdminContext:
    settings: AdminSettings
    inbox: Inbox
    store: AdminStore
    checks: RunChecks
    platforms: Sequence[str]
    """Names of the enabled platforms."""
    backend: str
    """The backend's name, as in the results of ``checks``."""
    schedules: Schedules
    callbacks: Callbacks
    handovers: Handovers
    turn_logs: TurnLogs
    run: CoroutineRunner
    """Runs what talks to an OpenID provider. Called from request threads."""
    feedback: FeedbackReport
    budget_store: BudgetStore
    budget_report: BudgetReport
    rules: Rules
    assets: str = ""
    """The path of the static files, relative to the gateway's root: ``Assets.base_path``. For the pages."""
    max_answer_chars: int = 40_000
    """The longest answer that a person may give."""
    currency: str = "USD"
    """Of all costs, as ISO 4217 names it."""
    about: str = ""
    """A description of the backend for people, without secrets: ``Assistant.description``."""
    assistants: Callable[[], Sequence[str]] = lambda: (DEFAULT_ASSISTANT,)
    """Returns the names of the assistants."""
    is_stopping: Callable[[], bool] = lambda: False
    """Returns whether the process is to end soon. No I/O."""
    configuration: Callable[[], Configuration] = lambda: Configuration({})
    """Returns what is in force."""
    backends: Callable[[], Sequence[RunningBackend]] = tuple
    """Returns the backends of the assistants that are in force."""

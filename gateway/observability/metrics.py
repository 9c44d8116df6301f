"""The counts and times along a turn's way, each defined once. The length of the queue is in ``collectors``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from gateway.domain.errors import AssistantError, GatewayError, Overloaded
from gateway.domain.models import DEFAULT_ASSISTANT, Turn, TurnState
from gateway.observability.collectors import (
    BY_PLATFORM,
    QueueCollector,
    ReadQueueDepths,
    SharedFolderCollector,
    check_folder,
)
from gateway.observability.series import Counts, Observes, ProcessCounter, ProcessHistogram, Series
from gateway.ports.budgets import Expense

TURN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
SWEEP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MILLIONTHS = 1_000_000
HANDOVER_ASKERS = ("assistant", "staff", "person")
STEPS = ("waiting", "answering", "delivering")
BY_CODE = ("platform", "code")
BY_ASSISTANT = ("platform", "assistant")
BY_ASSISTANT_AND_CODE = ("platform", "assistant", "code")


class Metrics:
    """The gateway's counters, gauges and histograms. No event method does I/O or raises.

    Events are told on one thread, which is the worker's loop; any thread may collect.

    Labels are platforms, assistants, our own error codes and names defined here: never a person, a channel or a text.
    """

    def __init__(
        self,
        platforms: Iterable[str] = (),
        queue_depths: ReadQueueDepths | None = None,
        *,
        assistants: Iterable[str] = (DEFAULT_ASSISTANT,),
        folder: Path | None = None,
    ) -> None:
        """``platforms`` and ``assistants``: those whose series exist from the start, at 0; others get theirs with their
        first event.

        ``queue_depths`` is called when metrics are collected. ``folder``: where processes that are collected together
        keep their values; it is created if needed and must be PROMETHEUS_MULTIPROC_DIR, which the library reads itself.
        Raises SettingsError when it is not, or cannot be written to.
        """
        check_folder(folder)
        self.registry = CollectorRegistry(support_collectors_without_names=True)
        """Everything to collect."""
        self._platforms: set[str] = set()
        self._assistants = tuple(assistants)
        # With a folder, metrics are collected from the files of all processes, not from this process's objects.
        self._registered = None if folder else self.registry
        self._define_counters_of_messages()
        self._define_counters_of_attempts()
        self._define_counters_of_outcomes()
        self._define_timings()
        self._in_progress = Gauge(
            "gateway_conversations_in_hand",
            "Conversations that are being worked on.",
            registry=self._registered,
            multiprocess_mode="livesum",  # a dead process works on nothing
        )
        self._in_progress.set(0)  # an earlier process with the same id may have left a value in the folder
        for platform in platforms:
            self._initialise(platform)
        self.registry.register(SharedFolderCollector(folder) if folder else ProcessCollector(registry=None))
        if queue_depths is not None:
            self.registry.register(QueueCollector(queue_depths, self._platforms))

    # ------------------------------------------------------------ definitions

    def _counter(self, name: str, about: str, labels: Sequence[str] = BY_PLATFORM) -> Series[Counts]:
        if self._registered is None:
            return Series(Counter(name, about, labels, registry=None).labels, self._initialise)
        return Series(ProcessCounter(name, about, labels, self._registered).labels, self._initialise)

    def _histogram(self, name: str, about: str, labels: Sequence[str]) -> Series[Observes]:
        buckets = TURN_BUCKETS
        if self._registered is None:
            return Series(Histogram(name, about, labels, registry=None, buckets=buckets).labels, self._initialise)
        own = ProcessHistogram(name, about, labels, self._registered, buckets=buckets)
        return Series(own.labels, self._initialise)

    def _define_counters_of_messages(self) -> None:
        self._accepted = self._counter("gateway_turns_accepted_total", "Messages that were committed as a turn.")
        self._deduplicated = self._counter(
            "gateway_messages_deduplicated_total",
            "Messages that came again and did not become a second turn.",
        )
        self._refused = self._counter(
            "gateway_messages_refused_total", "Messages that were not accepted, by error code.", BY_CODE
        )

    def _define_counters_of_attempts(self) -> None:
        self._started = self._counter(
            "gateway_turns_started_total",
            "Attempts at turns; exceeds the number of turns when a process died or released one.",
        )
        self._retried = self._counter(
            "gateway_assistant_asked_again_total",
            "Repeated requests to the assistant for a turn, by the code of the error before.",
            BY_ASSISTANT_AND_CODE,
        )
        self._passed_on = self._counter(
            "gateway_turns_passed_on_total",
            "Turns that another assistant was asked for, by the assistant that was unavailable and the error's code.",
            BY_ASSISTANT_AND_CODE,
        )
        self._leases_lost = self._counter(
            "gateway_leases_lost_total", "Conversations that another process took over from one that was still running."
        )

    def _define_counters_of_outcomes(self) -> None:
        self._answered = self._counter("gateway_turns_answered_total", "Turns whose reply was stored.", BY_ASSISTANT)
        self._failed = self._counter(
            "gateway_turns_failed_total",
            "Turns that got no reply, by error code.",
            BY_ASSISTANT_AND_CODE,
        )
        self._cancelled = self._counter(
            "gateway_turns_cancelled_total", "Turns that were cancelled before they had a reply.", BY_ASSISTANT
        )
        self._handed_over = self._counter(
            "gateway_handovers_total",
            "Conversations that a person took over, by who asked for it: assistant, staff, person.",
            (*BY_PLATFORM, "by"),
        )
        self._resumed = self._counter(
            "gateway_handovers_ended_total", "Conversations that were given back to the assistant."
        )
        self._held = self._counter("gateway_turns_held_total", "Turns that were left to a person, and have no reply.")
        self._delivered = self._counter(
            "gateway_turns_delivered_total",
            "Turns whose outcome the platform accepted: a reply, or the sentence that says why there is none.",
        )
        self._undeliverable = self._counter(
            "gateway_turns_undeliverable_total", "Turns whose outcome the platform rejected for good."
        )
        self._tokens = self._counter(
            "gateway_tokens_total",
            "Tokens of resolved turns, in (read) or out (written); as the backend counted them, else estimated.",
            (*BY_ASSISTANT, "direction"),
        )
        self._cost = self._counter(
            "gateway_cost_total", "Cost of resolved turns, in the currency of the prices.", BY_ASSISTANT
        )
        self._estimated_cost = self._counter(
            "gateway_cost_estimated_total",
            "The part of gateway_cost_total of turns that the backend did not count.",
            BY_ASSISTANT,
        )

    def _define_timings(self) -> None:
        self._until_answered = self._histogram(
            "gateway_turn_answer_seconds",
            "Seconds from a message's receipt until its reply was stored, of turns that have one.",
            BY_PLATFORM,
        )
        self._steps = self._histogram(
            "gateway_turn_step_seconds",
            "Seconds that a turn waited for its start, was being answered (or failed), and was being delivered.",
            ("platform", "step"),
        )
        self._sweeps = Histogram(
            "gateway_sweep_seconds",
            "Seconds that one query for due conversations took in the database.",
            registry=self._registered,
            buckets=SWEEP_BUCKETS,
        )

    def _initialise(self, platform: str) -> None:
        """Makes a platform's series, as far as their labels can be known, so that rates see the first event.

        Does nothing for one that has them.
        """
        if platform in self._platforms:
            return
        self._platforms.add(platform)
        for counter in (
            *(self._accepted, self._deduplicated, self._started, self._leases_lost),
            *(self._delivered, self._undeliverable, self._resumed, self._held),
        ):
            counter.show(platform)
        self._until_answered.show(platform)
        for assistant in self._assistants:
            self._initialise_assistant(platform, assistant)
        for step in STEPS:
            self._steps.show((platform, step))
        for who in HANDOVER_ASKERS:
            self._handed_over.show((platform, who))
        self._refused.show((platform, Overloaded.code))

    def _initialise_assistant(self, platform: str, assistant: str) -> None:
        for counter in (self._answered, self._cancelled, self._cost, self._estimated_cost):
            counter.show((platform, assistant))
        for direction in ("in", "out"):
            self._tokens.show((platform, assistant, direction))
        for code in sorted(_codes(AssistantError)):
            self._failed.show((platform, assistant, code))

    # ------------------------------------------------------------ receiving

    def accepted(self, turn: Turn) -> None:
        """Counts a message that was committed as a new turn."""
        self._accepted[turn.message.key.platform].inc()

    def deduplicated(self, platform: str) -> None:
        """Counts a message that was recorded before."""
        self._deduplicated[platform].inc()

    def refused(self, platform: str, code: str) -> None:
        """Counts a message that was not accepted."""
        self._refused[platform, code].inc()

    # ------------------------------------------------------------ working

    def sweep_finished(self, seconds: float) -> None:
        """Records the duration of one query for due conversations."""
        self._sweeps.observe(seconds)

    def set_conversations_in_progress(self, count: int) -> None:
        """Sets the number of conversations that this process works on."""
        self._in_progress.set(count)

    def attempt_started(self, turn: Turn) -> None:
        """Counts an attempt at a turn, before the assistant is asked."""
        self._started[turn.message.key.platform].inc()

    def run_retried(self, turn: Turn, code: str) -> None:
        """Counts a repeated request to the assistant, by the code of the error before."""
        self._retried[turn.message.key.platform, turn.assistant, code].inc()

    def passed_on(self, platform: str, assistant: str, code: str) -> None:
        """Counts a turn that another assistant is asked for, by the one that did not answer and its error's code."""
        self._passed_on[platform, assistant, code].inc()

    def handed_over(self, turn: Turn) -> None:
        """Counts a conversation that a person takes over, by the turn that asked for it."""
        first = turn.message.sender.partition(" ")[0] if turn.message.is_pushed else ""
        self._handed_over[turn.message.key.platform, first if first in HANDOVER_ASKERS else "person"].inc()

    def resumed(self, turn: Turn) -> None:
        """Counts a conversation that is given back to its assistant."""
        self._resumed[turn.message.key.platform].inc()

    def turn_held(self, turn: Turn) -> None:
        """Counts a turn that is left to a person."""
        self._held[turn.message.key.platform].inc()

    def lease_lost(self, platform: str) -> None:
        """Counts a conversation that another process took over from this one."""
        self._leases_lost[platform].inc()

    # ------------------------------------------------------------ resolving and delivering

    def turn_resolved(self, turn: Turn) -> None:
        """Counts a turn whose outcome is stored. Does nothing for a turn that has none yet."""
        platform = turn.message.key.platform
        match turn.state:
            case TurnState.ANSWERED | TurnState.DELIVERED:
                self._answered[platform, turn.assistant].inc()
                self._until_answered[platform].observe(_elapsed(turn.received_at, turn.answered_at))
            case TurnState.FAILED:
                code = turn.failure.code if turn.failure else GatewayError.code
                self._failed[platform, turn.assistant, code].inc()
            case TurnState.CANCELLED:
                self._cancelled[platform, turn.assistant].inc()
            case _:
                return
        self._count_usage(turn, platform)

    def _count_usage(self, turn: Turn, platform: str) -> None:
        if turn.started_at is not None:
            self._steps[platform, "waiting"].observe(_elapsed(turn.received_at, turn.started_at))
            if turn.state is not TurnState.CANCELLED:
                self._steps[platform, "answering"].observe(_elapsed(turn.started_at, turn.answered_at))
        self.expense_added(turn, Expense.of(turn))

    def expense_added(self, turn: Turn, expense: Expense) -> None:
        """Counts what a turn used; of one that was cancelled, after ``turn_resolved``."""
        whose = (turn.message.key.platform, turn.assistant)
        self._tokens[*whose, "in"].inc(expense.usage.tokens_in)
        self._tokens[*whose, "out"].inc(expense.usage.tokens_out)
        self._cost[whose].inc(expense.cost / MILLIONTHS)
        if expense.is_estimate:
            self._estimated_cost[whose].inc(expense.cost / MILLIONTHS)

    def delivered(self, turn: Turn, seconds: float) -> None:
        """Counts a turn whose outcome, of any kind, was delivered, and records how long the delivery took."""
        platform = turn.message.key.platform
        self._delivered[platform].inc()
        self._steps[platform, "delivering"].observe(seconds)

    def undeliverable(self, turn: Turn) -> None:
        """Counts a turn whose delivery was given up because the platform rejected it."""
        self._undeliverable[turn.message.key.platform].inc()


def _elapsed(begin: float, end: float | None) -> float:
    """Returns seconds; 0 when the clock was set back in between, as a sum may not decrease."""
    return end - begin if end is not None and end > begin else 0.0


def _codes(kind: type[GatewayError]) -> set[str]:
    """Returns the error codes of a class and all its subclasses."""
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))

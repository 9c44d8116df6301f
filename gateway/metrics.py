"""Every metric of the gateway, named once: what is counted and timed on a turn's way, and what waits in the queue."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gateway.errors import AssistantError, GatewayError, Overloaded, SettingsError, StoreUnavailable
from gateway.messages import Turn, TurnState
from gateway.storing import Depth

TURN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
SWEEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DEPTH_SECONDS = 2.0
"""How long an answer about the queue holds, so that nobody can hammer the database by asking for metrics."""
MILLIONTHS = 1_000_000
BY_PLATFORM = ("platform",)
BY_CODE = ("platform", "code")

Depths = Callable[[], Sequence[Depth]]
"""How much waits. Does I/O; may raise StoreUnavailable."""


class Metrics:
    """What the gateway counts. Thread-safe; no method does I/O or raises anything, so they may be called anywhere.

    Labels are platforms, our own error codes, and names that stand here: never a person, a channel or a text.
    """

    def __init__(
        self, platforms: Iterable[str] = (), depths: Depths | None = None, *, folder: Path | None = None
    ) -> None:
        """``platforms``: those that count from zero on at once; others do from when they are first named.

        ``depths`` is asked when somebody collects. ``folder``: where processes that are collected as one keep their
        numbers; it is made if need be, and has to be PROMETHEUS_MULTIPROC_DIR, which the library reads by itself.
        Raises SettingsError when it is not, or cannot be written to.
        """
        _demand(folder)
        self.registry = CollectorRegistry(support_collectors_without_names=True)
        """What there is to collect."""
        self._families = _Families(None if folder else self.registry)
        self._platforms: dict[str, _Platform] = {}
        for platform in platforms:
            self._of(platform)
        self.registry.register(_Processes(folder) if folder else ProcessCollector(registry=None))
        if depths is not None:
            self.registry.register(_Queue(depths, self._platforms))

    # ------------------------------------------------------------ coming in

    def accepted(self, turn: Turn) -> None:
        """A message was committed as a new turn."""
        self._of_turn(turn).accepted.inc()

    def deduplicated(self, platform: str) -> None:
        """A message came that was recorded before."""
        self._of(platform).deduplicated.inc()

    def refused(self, platform: str, code: str) -> None:
        """A message was not taken in."""
        self._of(platform).refused(code).inc()

    # ------------------------------------------------------------ in hand

    def claimed(self, seconds: float) -> None:
        """A sweep for waiting conversations took so long."""
        self._families.sweeps.observe(seconds)

    def in_hand(self, number: int) -> None:
        """So many conversations are in this process's hands now."""
        self._families.in_hand.set(number)

    def started(self, turn: Turn) -> None:
        """The assistant is about to be asked; once for each attempt."""
        self._of_turn(turn).started.inc()

    def asked_again(self, platform: str, code: str) -> None:
        """The assistant has to be asked again, because of an error with this code."""
        self._of(platform).asked_again(code).inc()

    def lease_lost(self, platform: str) -> None:
        """Another process took over what this one worked on."""
        self._of(platform).leases_lost.inc()

    # ------------------------------------------------------------ going out

    def decided(self, turn: Turn) -> None:
        """The turn's outcome is stored. Nothing is counted of a turn that has none yet."""
        of = self._of_turn(turn)
        match turn.state:
            case TurnState.ANSWERED | TurnState.DELIVERED:
                of.answered.inc()
                of.until_answered.observe(_between(turn.received_at, turn.answered_at))
            case TurnState.FAILED:
                of.failed(turn.failure.code if turn.failure else GatewayError.code).inc()
            case TurnState.CANCELLED:
                of.cancelled.inc()
            case _:
                return
        self._spent(turn, of)

    @staticmethod
    def _spent(turn: Turn, of: _Platform) -> None:
        if turn.started_at is not None:
            of.waiting.observe(_between(turn.received_at, turn.started_at))
            if turn.state is not TurnState.CANCELLED:
                of.answering.observe(_between(turn.started_at, turn.answered_at))
        of.tokens_in.inc(turn.usage.tokens_in)
        of.tokens_out.inc(turn.usage.tokens_out)
        of.cost.inc(turn.cost / MILLIONTHS)

    def delivered(self, turn: Turn, seconds: float) -> None:
        """The outcome was brought, whatever it was; that took so long."""
        of = self._of_turn(turn)
        of.delivered.inc()
        of.delivering.observe(seconds)

    def undeliverable(self, turn: Turn) -> None:
        """The platform did not take the outcome, and it is given up."""
        self._of_turn(turn).undeliverable.inc()

    def _of_turn(self, turn: Turn) -> _Platform:
        return self._of(turn.message.key.platform)

    def _of(self, platform: str) -> _Platform:
        # Without a lock: should two threads make the same one, both count on the same children.
        found = self._platforms.get(platform)
        return found or self._platforms.setdefault(platform, _Platform(self._families, platform))


def _between(begin: float, end: float | None) -> float:
    """Seconds. A clock that was set back in between makes it 0, as a sum may not shrink."""
    return max((end or begin) - begin, 0.0)


# ---------------------------------------------------------------- the names


class _Families:
    """The metrics with their names, labels and promises."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        """``registry``: None where the numbers of several processes are collected from their files."""
        counter = partial(Counter, labelnames=BY_PLATFORM, registry=registry)
        self._count_messages(counter)
        self._count_outcomes(counter)
        self._time(partial(Histogram, registry=registry))
        self.in_hand = Gauge(
            "gateway_conversations_in_hand",
            "Conversations that are being worked on.",
            registry=registry,
            multiprocess_mode="livesum",  # what a dead process had in hand, nobody has
        )
        self.in_hand.set(0)  # a process with the same id may have left its number in the folder

    def _count_messages(self, counter: Callable[..., Counter]) -> None:
        self.accepted = counter("gateway_turns_accepted_total", "Messages that were committed as a turn.")
        self.deduplicated = counter(
            "gateway_messages_deduplicated_total", "Messages that came again, and did not become a turn again."
        )
        self.refused = counter(
            "gateway_messages_refused_total", "Messages that were not taken in, by the code of why.", labelnames=BY_CODE
        )
        self.started = counter(
            "gateway_turns_started_total",
            "Attempts at a turn; more than the turns where a process died or handed one back.",
        )
        self.asked_again = counter(
            "gateway_assistant_asked_again_total",
            "Times the assistant had to be asked again for a turn, by the code of the error before.",
            labelnames=BY_CODE,
        )
        self.leases_lost = counter(
            "gateway_leases_lost_total", "Conversations that another process took over from one that still ran."
        )

    def _count_outcomes(self, counter: Callable[..., Counter]) -> None:
        self.answered = counter("gateway_turns_answered_total", "Turns whose reply was stored.")
        self.failed = counter(
            "gateway_turns_failed_total", "Turns that the assistant gave no reply to, by code.", labelnames=BY_CODE
        )
        self.cancelled = counter("gateway_turns_cancelled_total", "Turns that were cancelled before they had a reply.")
        self.delivered = counter(
            "gateway_turns_delivered_total",
            "Turns whose outcome the platform took: a reply, or the sentence that says why there is none.",
        )
        self.undeliverable = counter(
            "gateway_turns_undeliverable_total", "Turns whose outcome the platform did not take, and never will."
        )
        self.tokens = counter(
            "gateway_tokens_total",
            "Tokens of decided turns as the backend counted them, in (read) or out (written).",
            labelnames=("platform", "direction"),
        )
        self.cost = counter("gateway_cost_total", "What decided turns cost, in the currency that prices are given in.")

    def _time(self, histogram: Callable[..., Histogram]) -> None:
        self.until_answered = histogram(
            "gateway_turn_answer_seconds",
            "Seconds from a message's receipt until its reply was stored, of turns that have one.",
            BY_PLATFORM,
            buckets=TURN_SECONDS,
        )
        self.steps = histogram(
            "gateway_turn_step_seconds",
            "Seconds that a turn waited for its start, was being answered (or failed), and was being delivered.",
            ("platform", "step"),
            buckets=TURN_SECONDS,
        )
        self.sweeps = histogram(
            "gateway_sweep_seconds",
            "Seconds that one look for waiting conversations took in the database.",
            buckets=SWEEP_SECONDS,
        )


class _Platform:
    """The children of one platform, looked up once. All that can be known begin at 0, so that rates see the first."""

    def __init__(self, families: _Families, platform: str) -> None:
        self.accepted = families.accepted.labels(platform)
        self.deduplicated = families.deduplicated.labels(platform)
        self.started = families.started.labels(platform)
        self.leases_lost = families.leases_lost.labels(platform)
        self.answered = families.answered.labels(platform)
        self.cancelled = families.cancelled.labels(platform)
        self.delivered = families.delivered.labels(platform)
        self.undeliverable = families.undeliverable.labels(platform)
        self.tokens_in = families.tokens.labels(platform, "in")
        self.tokens_out = families.tokens.labels(platform, "out")
        self.cost = families.cost.labels(platform)
        self.until_answered = families.until_answered.labels(platform)
        self.waiting = families.steps.labels(platform, "waiting")
        self.answering = families.steps.labels(platform, "answering")
        self.delivering = families.steps.labels(platform, "delivering")
        self.refused = _Codes(families.refused, platform, (Overloaded.code,))
        self.failed = _Codes(families.failed, platform, sorted(_codes(AssistantError)))
        self.asked_again = _Codes(families.asked_again, platform, ())


class _Codes:
    """The children of a platform's counter, by code."""

    def __init__(self, family: Counter, platform: str, codes: Iterable[str]) -> None:
        self._family = family
        self._platform = platform
        self._children = {code: family.labels(platform, code) for code in codes}

    def __call__(self, code: str) -> Counter:
        found = self._children.get(code)
        return found or self._children.setdefault(code, self._family.labels(self._platform, code))


def _codes(kind: type[GatewayError]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


# ---------------------------------------------------------------- the queue


class _Queue(Collector):
    """What waits in the database, which all processes share: each of them tells the same."""

    def __init__(self, depths: Depths, platforms: Iterable[str]) -> None:
        """``platforms``: those that are told of also when nothing of theirs waits. Looked at each time."""
        self._depths = depths
        self._platforms = platforms
        self._known: Sequence[Depth] | None = None
        self._until = 0.0
        self._lock = Lock()

    def describe(self) -> Iterable[Metric]:
        return self._made(None, ())

    def collect(self) -> Iterable[Metric]:
        # Whoever finds another caller asking already takes what is known from before; the first one has to wait.
        if self._lock.acquire(blocking=not self._until):
            try:
                self._ask()
            finally:
                self._lock.release()
        return self._made(self._known, tuple(self._platforms))

    def _ask(self) -> None:
        if time.monotonic() < self._until:
            return
        try:
            self._known = self._depths()
        except StoreUnavailable:
            self._known = None
        self._until = time.monotonic() + DEPTH_SECONDS

    @staticmethod
    def _made(depths: Sequence[Depth] | None, platforms: Iterable[str]) -> Iterable[Metric]:
        up = GaugeMetricFamily("gateway_database_up", "Whether the database answered when it was last asked.")
        turns = GaugeMetricFamily("gateway_queue_turns", "Turns that are not finished.", labels=BY_PLATFORM)
        age = GaugeMetricFamily(
            "gateway_queue_age_seconds", "Seconds since the oldest unfinished turn was received.", labels=BY_PLATFORM
        )
        up.add_metric((), depths is not None)
        if depths is not None:
            idle = {platform: Depth(platform, 0, 0.0) for platform in platforms}
            for depth in (idle | {depth.platform: depth for depth in depths}).values():
                turns.add_metric((depth.platform,), depth.turns)
                age.add_metric((depth.platform,), max(depth.age, 0.0))
        return (up, turns, age)


# ---------------------------------------------------------------- several processes


class _Processes(Collector):
    """The numbers of all processes that share a folder. Those that are over keep their counts, but hold nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        self._bury()
        files = list(self._files())
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # it has no types
        return merged

    def _bury(self) -> None:
        """A killed process cannot tell that it is over: whoever looks next does it. All are on one machine."""
        for file in self._folder.glob("gauge_live*_*.db"):
            if not _alive(int(file.stem.rpartition("_")[2])):
                file.unlink(missing_ok=True)

    def _files(self) -> Iterable[str]:
        """A file is empty for a moment while its process begins; the library cannot read it then."""
        for file in self._folder.glob("*.db"):
            with suppress(FileNotFoundError):
                if file.stat().st_size:
                    yield str(file)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _demand(folder: Path | None) -> None:
    """The library chose where numbers are kept when it was imported; this has to be the same choice."""
    if (folder is not None) != (values.ValueClass is not values.MutexValue):
        raise SettingsError(
            "PROMETHEUS_MULTIPROC_DIR: name a folder in the environment of the process itself, or unset it there; "
            "neither .env nor PROMETHEUS_MULTIPROC_DIR_FILE is enough, and it may not be empty."
        )
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as exc:
            reason = f"{folder} cannot be written to: {exc.strerror}"
            raise SettingsError(f"PROMETHEUS_MULTIPROC_DIR: {reason}.") from exc

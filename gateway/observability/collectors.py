"""What is found out when metrics are collected: the queue in the database, and the values of other processes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from prometheus_client import values
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gateway.domain.errors import SettingsError, StoreUnavailable
from gateway.ports.store import QueueDepth

DEPTH_CACHE_SECONDS = 2.0
"""How long queue depths are cached, so that frequent scrapes do not load the database."""
BY_PLATFORM = ("platform",)

ReadQueueDepths = Callable[[], Sequence[QueueDepth]]
"""Returns the queue depth of each platform. Does I/O; may raise StoreUnavailable."""


# ---------------------------------------------------------------- the queue


class QueueCollector(Collector):
    """The queue in the database. All processes share it and report the same values."""

    def __init__(self, depths: ReadQueueDepths, platforms: Iterable[str]) -> None:
        """``platforms``: those that are reported even when they have nothing queued. Read at each collection."""
        self._depths = depths
        self._platforms = platforms
        self._cached: Sequence[QueueDepth] | None = None
        self._cached_until = 0.0
        self._lock = Lock()

    def describe(self) -> Iterable[Metric]:
        return self._families(None, ())

    def collect(self) -> Iterable[Metric]:
        # While another caller queries the database, the cached value is used; only the first query ever must wait.
        if self._lock.acquire(blocking=not self._cached_until):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._families(self._cached, tuple(self._platforms))

    def _refresh(self) -> None:
        if time.monotonic() < self._cached_until:
            return
        try:
            self._cached = self._depths()
        except StoreUnavailable:
            self._cached = None
        self._cached_until = time.monotonic() + DEPTH_CACHE_SECONDS

    @staticmethod
    def _families(depths: Sequence[QueueDepth] | None, platforms: Iterable[str]) -> Iterable[Metric]:
        up = GaugeMetricFamily("gateway_database_up", "Whether the database answered when it was last asked.")
        turns = GaugeMetricFamily("gateway_queue_turns", "Turns that are not finished.", labels=BY_PLATFORM)
        age = GaugeMetricFamily(
            "gateway_queue_age_seconds", "Seconds since the oldest unfinished turn was received.", labels=BY_PLATFORM
        )
        up.add_metric((), depths is not None)
        parked = GaugeMetricFamily(
            "gateway_queue_parked_turns",
            "Turns that wait for something, such as a budget, and occupy no process meanwhile.",
            labels=("platform", "reason"),
        )
        if depths is not None:
            idle = {platform: QueueDepth(platform, 0, 0.0) for platform in platforms}
            for depth in (idle | {depth.platform: depth for depth in depths}).values():
                turns.add_metric((depth.platform,), depth.unfinished)
                age.add_metric((depth.platform,), max(depth.oldest_age_seconds, 0.0))
                for reason, count in depth.parked.items():
                    parked.add_metric((depth.platform, reason), count)
        return (up, turns, age, parked)


# ---------------------------------------------------------------- several processes


class SharedFolderCollector(Collector):
    """Metrics of all processes that share a folder. Ended processes keep their counts, but their gauges are removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        self._remove_dead_gauges()
        files = list(self._files())
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # it has no types
        return merged

    def _remove_dead_gauges(self) -> None:
        """Removes the gauges of killed processes, which cannot do so themselves. All run on one machine."""
        for file in self._folder.glob("gauge_live*_*.db"):
            if not _is_alive(int(file.stem.rpartition("_")[2])):
                file.unlink(missing_ok=True)

    def _files(self) -> Iterable[str]:
        """Yields non-empty files: a starting process's file is empty for a moment, and the library cannot read that."""
        for file in self._folder.glob("*.db"):
            with suppress(FileNotFoundError):
                if file.stat().st_size:
                    yield str(file)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def check_folder(folder: Path | None) -> None:
    """Raises SettingsError unless ``folder`` agrees with what the library chose at import, and is writable."""
    if (folder is not None) != (values.ValueClass is not values.MutexValue):
        raise SettingsError(
            "PROMETHEUS_MULTIPROC_DIR: set it to a folder in the environment of the process itself, or unset it there. "
            "Setting it in .env or by PROMETHEUS_MULTIPROC_DIR_FILE is not enough, and it must not be empty."
        )
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as exc:
            reason = f"{folder} cannot be written to: {exc.strerror}"
            raise SettingsError(
                f"PROMETHEUS_MULTIPROC_DIR: {reason}. Name a folder that this user may write to."
            ) from exc

"""The scale scenes: several processes over one PostgreSQL, a full table, and a process that is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from storage.migrations import upgrade
from tests.bench.loading import wait_until
from tests.bench.measurements import Figure, at_least, at_least_times, at_most, median
from tests.bench.plan import Plan
from tests.bench.postgres_server import DatabaseServer, connect
from tests.bench.scale_core import Order
from tests.bench.scale_processes import Core, ScaleFolder
from tests.bench.scale_tables import TURNS_EACH, FullTable, filled, side_by_side
from tests.bench.slack_scenes import at_most_times

PROCESSES = (1, 2, 4)
FEW_TURNS = 100
SQLITE_TURNS = 100_000
WARM_UP = 20
ROOM, MUCH_ROOM = 60, 2000
RUN_SECONDS = 1.0
ORPHANS = 50
FOR_EVER = 3600.0
ONE = "one process"

FREE = "Turns a second over PostgreSQL, the assistant answers at once"
WAITS = f"Turns a second over PostgreSQL, the assistant answers after {RUN_SECONDS:g} s"
TABLE = "A full table, ms"
DEATH = "A process is killed, s"

PROGRESS = """
SELECT count(*), count(delivered_at), count(run_id), coalesce(min(received_at), 0), coalesce(max(delivered_at), 0)
FROM turns
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of all turns of a database, with times by the database's clock."""

    received: int
    delivered: int
    begun: int
    first_at: float
    last_at: float

    @property
    def rate(self) -> float:
        """Turns per second, from the first one received to the last one delivered."""
        return self.delivered / (self.last_at - self.first_at)


class ScaleScenes:
    """Runs the scale scenes in the sizes of the plan."""

    def __init__(self, folder: ScaleFolder, plan: Plan, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._plan = plan
        self._tell = tell
        self.errors: list[str] = []
        """Stays empty: these scenes have no callers."""

    def figures(self) -> Iterator[Figure]:
        with self._folder.database_server() as server, ThreadPoolExecutor() as pool:
            self._tell(f"starting {max(PROCESSES)} core processes")
            cores = self._folder.cores(max(PROCESSES))
            yield from self._free(server, cores)
            yield from self._waiting(server, cores, ROOM, self._plan.waiting_turns)
            yield from self._waiting(server, cores, MUCH_ROOM, self._plan.crowded_turns)
            # The kill scene waits for a lease to expire; the table is filled meanwhile.
            full = pool.submit(filled, server.new_database(), self._plan.table_turns)
            yield self._death(server, cores)
            yield from self._tables(server, full)
        self._folder.stop()

    # ------------------------------------------------------------ several processes

    def _free(self, server: DatabaseServer, cores: Sequence[Core]) -> Iterator[Figure]:
        turns = self._plan.free_turns
        rates = {
            processes: median([self._rate(server, cores[:processes], turns) for _ in range(self._plan.rounds)])
            for processes in PROCESSES
        }
        for processes, rate in rates.items():
            yield Figure(FREE, _named(processes), rate, *_beside_one(processes, rates))
        yield Figure(FREE, "the best", max(rates.values()), aim=at_least(800))

    def _waiting(self, server: DatabaseServer, cores: Sequence[Core], room: int, turns: int) -> Iterator[Figure]:
        rates = {
            processes: self._rate(server, cores[:processes], turns, room=room, run_seconds=RUN_SECONDS)
            for processes in PROCESSES
        }
        for processes, rate in rates.items():
            aim = at_least_times(3) if room == ROOM and processes == max(PROCESSES) else None
            name = f"{_named(processes)}, up to {room} runs in each"
            yield Figure(WAITS, name, rate, *_beside_one(processes, rates), aim=aim)

    def _rate(
        self,
        server: DatabaseServer,
        cores: Sequence[Core],
        turns: int,
        *,
        room: int = MUCH_ROOM,
        run_seconds: float = 0.0,
    ) -> float:
        """Returns turns per second over all core processes, each receiving the same number."""
        url, each = server.new_database(), turns // len(cores)
        conversations = each if run_seconds else each // TURNS_EACH
        self._tell(f"{len(cores)} core processes, {each * len(cores)} turns, up to {room} runs in each")
        for core in cores:
            core.open(Order(url, core.name, each, conversations, room, run_seconds))
        for core in cores:
            core.take()
        for core in cores:
            core.taken()
        progress = _wait(url, lambda now: now.delivered == each * len(cores), "turns were not delivered")
        for core in cores:
            core.close()
        return progress.rate

    # ------------------------------------------------------------ a process is killed

    def _death(self, server: DatabaseServer, cores: Sequence[Core]) -> Figure:
        """Kills a process as soon as all its runs have started, when its leases are newest."""
        (doomed, heir), url = cores[:2], server.new_database()
        self._tell(f"killing a process with {ORPHANS} claimed turns")
        doomed.open(Order(url, doomed.name, ORPHANS, ORPHANS, MUCH_ROOM, FOR_EVER))
        heir.open(Order(url, heir.name, 0, 1, MUCH_ROOM, 0.0))
        doomed.take()
        _wait(url, lambda now: now.begun == ORPHANS, "runs did not start")
        doomed.kill()
        killed_at = time.time()
        progress = _wait(url, lambda now: now.delivered == ORPHANS, "orphans were not delivered")
        heir.take()
        heir.taken()
        heir.close()
        seconds = progress.last_at - killed_at
        return Figure(DEATH, f"from kill -9 to the last of {ORPHANS} replies", seconds, aim=at_most(15))

    # ------------------------------------------------------------ a full table

    def _tables(self, server: DatabaseServer, full: Future[FullTable]) -> Iterator[Figure]:
        few = filled(server.new_database(), FEW_TURNS)
        yield from self._beside(few, full.result(), "PostgreSQL", self._plan.table_turns)
        if self._plan.sqlite_too:
            tables = [self._in_sqlite(turns) for turns in (FEW_TURNS, SQLITE_TURNS)]
            yield from self._beside(tables[0], tables[1], "SQLite", SQLITE_TURNS)

    def _beside(self, few: FullTable, full: FullTable, kind: str, turns: int) -> Iterator[Figure]:
        self._tell(f"{kind}: {turns:,} turns compared with {FEW_TURNS}")
        with closing(few.store), closing(full.store):
            theirs, ours = side_by_side((few, full), self._plan.table_messages, WARM_UP)
        for name, samples, others in zip(("accept", "claim"), ours, theirs, strict=True):
            title = f"{name}, {turns:,} turns in {kind}"
            yield Figure(TABLE, title, median(samples), median(others), f"{FEW_TURNS} turns", at_most_times(1.2))

    def _in_sqlite(self, turns: int) -> FullTable:
        url = self._folder.sqlite_url(f"{turns}-turns")
        upgrade(url)
        return filled(url, turns)


def _wait(url: str, ready: Callable[[Progress], bool], otherwise: str) -> Progress:
    """Polls the database until the condition is true and returns that progress. Raises TimeoutError."""
    seen: list[Progress] = []
    with connect(url) as connection:

        def look() -> bool:
            row = connection.execute(PROGRESS).fetchone()
            seen.append(Progress(*row) if row else Progress(0, 0, 0, 0.0, 0.0))
            return ready(seen[-1])

        wait_until(look, otherwise)
    return seen[-1]


def _named(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


def _beside_one(processes: int, rates: dict[int, float]) -> tuple[float | None, str]:
    return (None, "") if processes == 1 else (rates[1], ONE)

"""The /chat scenes: starts servers against one fake OpenAI, measures them, and stops them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.bench.caller import Caller
from tests.bench.load import Order, Result
from tests.bench.loading import Loaded, holding, load, wait_until
from tests.bench.measurements import Figure, at_least_times, at_most_more, below, median, p99
from tests.bench.plan import (
    ARRIVALS_PER_SECOND,
    BACKENDS,
    CALLERS,
    CHUNK_SECONDS,
    IN_FLIGHT,
    THINK_SECONDS,
    Backend,
    Plan,
)
from tests.bench.processes import Folder, Server
from tests.bench.single_caller import Lone, Samples
from tests.bench.usage import Usage

SDK = "the SDK alone"
FLASK = "plain Flask"
PATIENT = "plain Flask, sleeping before polling"
LONE, MANY, FIRST, MEMORY = "A single caller, ms", f"{CALLERS} callers at once", "First token, ms", "Memory, MB (RSS)"
SETTLE_SECONDS = 1.0


class Scenes:
    """Runs the /chat scenes in the sizes of the plan."""

    def __init__(self, folder: Folder, plan: Plan, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._plan = plan
        self._tell = tell
        self.errors: list[str] = []
        """Errors that callers under load got instead of a reply."""

    def figures(self) -> Iterator[Figure]:
        idle: list[Figure] = []
        with self._folder.fake() as fake, ThreadPoolExecutor() as pool:
            self._tell("starting the servers")
            starting = [pool.submit(self._folder.gateway, fake, backend, backend) for backend in BACKENDS]
            plain = pool.submit(self._folder.tutorial, fake)
            patient = pool.submit(self._folder.tutorial, fake, patient=True) if self._plan.patient else None
            gateways = {backend: server.result() for backend, server in zip(BACKENDS, starting, strict=True)}
            for backend, server in gateways.items():
                idle.append(_idle(backend, server))
                yield from self._alone(fake, backend, server)
            yield from self._many(gateways, plain.result())
            if patient:
                yield self._beside_patient(gateways["threads"], patient.result())
            yield from self._on_a_plan(gateways["threads"], plain.result())
        yield from self._first_tokens()
        yield from idle
        yield from self._in_flight()

    # ------------------------------------------------------------ one caller

    def _alone(self, fake: Server, backend: Backend, server: Server) -> Iterator[Figure]:
        self._tell(f"single caller: {backend}")
        lone = Lone(fake, backend, server)
        yield from _beside_sdk(LONE, f"{backend}, existing thread", lone.follow_ups(self._plan.lone_turns))
        yield from _beside_sdk(LONE, f"{backend}, new thread", lone.new_threads(self._plan.lone_turns))

    def _first_tokens(self) -> Iterator[Figure]:
        with self._folder.fake(chunk_delay=CHUNK_SECONDS) as fake, ThreadPoolExecutor() as pool:
            self._tell("starting the servers")
            servers = pool.map(lambda backend: self._folder.gateway(fake, backend, f"paced-{backend}"), BACKENDS)
            for backend, server in zip(BACKENDS, servers, strict=True):
                self._tell(f"first tokens: {backend}")
                samples = Lone(fake, backend, server).first_tokens(self._plan.first_tokens)
                yield from _beside_sdk(FIRST, backend, samples, p99_too=False)

    # ------------------------------------------------------------ many callers

    def _many(self, gateways: dict[Backend, Server], plain: Server) -> Iterator[Figure]:
        servers = [gateways["threads"], plain, gateways["responses"], gateways["chat"]]
        loads: dict[str, list[Loaded]] = {server.name: [] for server in servers}
        for _ in range(self._plan.rounds):
            for server in servers:
                loads[server.name].append(self._crowd(server))
        for backend in BACKENDS:
            ours, theirs = (median([one.rate for one in loads[name]]) for name in (backend, plain.name))
            yield Figure(MANY, f"turns a second, {backend}", ours, theirs, FLASK, at_least_times(2))
        for backend in BACKENDS:
            ours, theirs = (median([one.cpu_ms for one in loads[name]]) for name in (backend, plain.name))
            yield Figure(MANY, f"CPU ms a turn, {backend}", ours, theirs, FLASK)
        for backend in BACKENDS:
            ours, theirs = (loads[name][-1].rss_mb for name in (backend, plain.name))
            yield Figure(MANY, f"MB afterwards, {backend}", ours, theirs, FLASK)

    def _beside_patient(self, gateway: Server, patient: Server) -> Figure:
        """Measures once: with a sleep of a second there is no noise."""
        ours, theirs = self._crowd(gateway).rate, self._crowd(patient).rate
        return Figure(MANY, f"turns a second, {gateway.name}", ours, theirs, PATIENT)

    def _crowd(self, server: Server) -> Loaded:
        self._tell(f"{CALLERS} callers: {server.name}")
        return self._load(Order("closed", server.url, CALLERS, seconds=self._plan.load_seconds), server)

    def _on_a_plan(self, gateway: Server, plain: Server) -> Iterator[Figure]:
        for rate in self._plan.rates:
            section = f"{rate:g} turns a second at a fixed rate, ms from the planned start"
            ours, theirs = (self._times(server, rate) for server in (gateway, plain))
            yield Figure(section, f"{gateway.name}: median", median(ours), median(theirs), FLASK)
            yield Figure(section, f"{gateway.name}: p99", p99(ours), p99(theirs), FLASK)

    def _times(self, server: Server, rate: float) -> list[float]:
        self._tell(f"{rate:g} turns a second: {server.name}")
        order = Order("open", server.url, CALLERS, seconds=self._plan.rate_seconds, rate=rate)
        return self._load(order, server).result.times

    def _load(self, order: Order, server: Server) -> Loaded:
        loaded = load(order, server)
        self._note(server.name, loaded.result)
        if not loaded.result.times:
            raise RuntimeError(f"no turn succeeded: {self.errors[:1]}")
        return loaded

    def _note(self, name: str, result: Result) -> None:
        self.errors += [f"{name}: {error}" for error in result.errors]

    # ------------------------------------------------------------ turns in flight

    def _in_flight(self) -> Iterator[Figure]:
        for backend in self._plan.held_by:
            yield self._hold(backend, f"{backend}: {IN_FLIGHT} callers waiting")
        for backend in self._plan.held_quietly:
            yield self._hold(backend, f"{backend}: {IN_FLIGHT} turns, no caller waiting", prefer="respond-async")

    def _hold(self, backend: Backend, name: str, prefer: str = "") -> Figure:
        self._tell(name)
        with self._folder.fake(think=THINK_SECONDS) as fake:
            server = self._folder.gateway(fake, backend, f"held-{backend}-{prefer}")
            order = Order("hold", server.url, IN_FLIGHT, rate=ARRIVALS_PER_SECOND, prefer=prefer)
            with holding(order) as let_go:
                wait_until(lambda: fake.connections() >= IN_FLIGHT, f"{name}: not all turns were in flight at once")
                time.sleep(SETTLE_SECONDS)
                usage = server.usage()
                self._note(server.name, let_go())
        return _memory(name, usage, limit=150)


def _idle(backend: Backend, server: Server) -> Figure:
    """Measures memory after one turn; also fails early when a server does not work at all."""
    caller = Caller(server.url)
    caller.say("Hello.")
    caller.close()
    time.sleep(SETTLE_SECONDS)
    return _memory(f"{backend}: idle after one turn", server.usage(), limit=120)


def _memory(name: str, usage: Usage, *, limit: float) -> Figure:
    return Figure(MEMORY, name, usage.rss_mb, note=f"PSS {usage.pss_mb:.0f}", aim=below(limit))


def _beside_sdk(section: str, name: str, samples: Samples, *, p99_too: bool = True) -> Iterator[Figure]:
    theirs, ours = samples
    yield Figure(section, f"{name}: median", median(ours), median(theirs), SDK, at_most_more(5))
    aim = at_most_more(20) if p99_too else None
    yield Figure(section, f"{name}: p99", p99(ours), p99(theirs), SDK, aim)

"""Which connections are closed: those that wait too long for their client, and those that are too many."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway.web.connections import YOUNG_SECONDS, Connections, Limits, Phase


@dataclass(eq=False)
class Client:
    address: str = "192.0.2.1"
    phase: Phase | None = None
    ended: bool = False
    timed_out: bool = False

    def end(self) -> None:
        self.ended = True

    def time_out(self) -> None:
        self.timed_out = True


@dataclass
class Scene:
    """Connections with a clock that the test sets."""

    limits: Limits
    now: float = 0.0
    connections: Connections = field(init=False)

    def __post_init__(self) -> None:
        self.connections = Connections(self.limits, lambda: self.now)

    def open(self, address: str = "192.0.2.1", phase: Phase | None = Phase.OPENED) -> Client:
        """``phase``: what it waits for; None: its request is being answered."""
        client = Client(address)
        self.connections.opened(client)
        if phase is None:
            self.connections.works(client)
        elif phase is not Phase.OPENED:
            self.connections.waits(client, phase)
        return client

    def timed_out(self, *clients: Client) -> list[bool]:
        self.connections.time_out()
        return [client.timed_out for client in clients]


@pytest.mark.parametrize(
    ("phase", "limits"),
    [
        (Phase.OPENED, Limits(first_byte=5)),
        (Phase.HEAD, Limits(head=5)),
        (Phase.BODY, Limits(body=5)),
        (Phase.LINGERING, Limits(linger=5)),
    ],
)
def test_who_is_waited_for_too_long_is_timed_out_and_nobody_else(phase: Phase, limits: Limits) -> None:
    scene = Scene(limits)
    first, working, idle = scene.open(phase=phase), scene.open(phase=None), scene.open(phase=Phase.IDLE)
    scene.now = 3.0
    second = scene.open(phase=phase)
    scene.now = 4.9
    assert scene.timed_out(first, second) == [False, False]
    scene.now = 5.0
    assert scene.timed_out(first, second, working, idle) == [True, False, False, False]


def test_each_phase_has_its_own_time_from_its_beginning() -> None:
    scene = Scene(Limits(first_byte=2, head=2))
    client = scene.open()
    scene.now = 1.9
    scene.connections.waits(client, Phase.HEAD)
    scene.now = 3.8
    assert scene.timed_out(client) == [False]
    scene.now = 3.9
    assert scene.timed_out(client) == [True]


def test_when_places_end_the_one_who_was_silent_longest_goes_and_who_is_answered_stays() -> None:
    scene = Scene(Limits(connections=4))
    idle, working = scene.open(phase=Phase.IDLE), scene.open(phase=None)
    scene.now = 1.0
    first, second = scene.open(), scene.open()
    scene.open()
    assert [client.ended for client in (idle, working, first, second)] == [False, False, True, False]
    scene.connections.closed(first)
    scene.connections.closed(second)
    scene.open()
    assert not idle.ended
    for client in tuple(scene.connections):
        if client not in (idle, working):
            scene.connections.closed(client)
    scene.open(phase=None)
    scene.open(phase=None)
    scene.open(phase=None)
    assert (idle.ended, working.ended) == (True, False)


def test_an_address_may_have_so_many_silent_connections_and_others_are_not_counted() -> None:
    scene = Scene(Limits(waiting_per_address=2))
    first, half = scene.open(), scene.open(phase=Phase.HEAD)
    for phase in (None, Phase.IDLE):
        scene.open(phase=phase)
    stranger = scene.open("192.0.2.2")
    scene.now = YOUNG_SECONDS - 0.1
    scene.open()
    assert not first.ended  # it may still be about to send its request
    scene.now = YOUNG_SECONDS
    scene.open()
    assert [client.ended for client in (first, half, stranger)] == [True, False, False]


def test_behind_a_proxy_an_address_is_not_limited() -> None:
    scene = Scene(Limits(waiting_per_address=None))
    clients = [scene.open() for _ in range(1000)]
    scene.now = 5.0
    scene.open()
    assert not any(client.ended for client in clients)


def test_nothing_is_kept_of_connections_that_are_closed() -> None:
    scene = Scene(Limits())
    for phase in (*Phase, None):
        scene.connections.closed(scene.open(phase=phase))
    assert len(scene.connections) == 0
    assert scene.connections._of_address == {}
    assert not any(scene.connections._phases.values())

"""Injects the faults: each begins at the step, the process held there continues, and after a moment the fault ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from tests.faults.gateway_process import LEASE_SECONDS, SWEEP_SECONDS
from tests.faults.matrix.plan import Fault
from tests.faults.matrix.proxy import Link

if TYPE_CHECKING:
    from tests.faults.matrix.cell_scenario import Scene

PAST_A_LEASE = 2.2 * LEASE_SECONDS
FOR_A_MOMENT = 0.8
AN_HOUR = 3600.0


def strike(scene: Scene) -> None:
    """Injects the fault of the scenario; returns when it is over."""
    BLOWS[scene.cell.fault](scene)


def _kill(scene: Scene) -> None:
    scene.first.kill()
    scene.let_go()
    scene.take_over()


def _freeze(scene: Scene) -> None:
    scene.first.freeze()
    _while_it_lasts(scene, PAST_A_LEASE)
    scene.first.thaw()


def _restart(scene: Scene) -> None:
    scene.place.down()
    scene.let_go()
    time.sleep(1.2 * LEASE_SECONDS)
    scene.place.up()
    if scene.cell.inherited:
        scene.take_over()


def _between(scene: Scene, link: Link | None, *, cut: bool) -> None:
    assert link is not None
    if cut:
        link.cut()
    else:
        link.silence()
    _while_it_lasts(scene, FOR_A_MOMENT if cut and not scene.cell.inherited else PAST_A_LEASE)
    link.heal()


def _fill(scene: Scene) -> None:
    scene.place.fill()
    _while_it_lasts(scene, FOR_A_MOMENT)
    scene.place.drain()


def _jump(scene: Scene, seconds: float, *, kills: bool = False) -> None:
    """Shifts the clocks. The second process is started before, and gets as long as the first one needs to renew its
    leases.
    """
    if scene.shared:
        scene.take_over()
    scene.place.jump(seconds)
    scene.levers.set(skew=seconds)
    if kills:
        scene.first.kill()
    time.sleep(2 * SWEEP_SECONDS)  # time for the second process to look for expired leases
    scene.let_go()
    if kills and not scene.shared:
        scene.take_over()


def _while_it_lasts(scene: Scene, seconds: float) -> None:
    end = time.monotonic() + seconds
    scene.let_go()
    if scene.cell.inherited:
        scene.take_over()
    time.sleep(max(0.0, end - time.monotonic()))


BLOWS: Mapping[Fault, Callable[[Scene], None]] = {
    Fault.KILL: _kill,
    Fault.FREEZE: _freeze,
    Fault.RESTART: _restart,
    Fault.DATABASE_CUT: lambda scene: _between(scene, scene.to_database, cut=True),
    Fault.DATABASE_SILENT: lambda scene: _between(scene, scene.to_database, cut=False),
    Fault.BACKEND_CUT: lambda scene: _between(scene, scene.to_backend, cut=True),
    Fault.BACKEND_SILENT: lambda scene: _between(scene, scene.to_backend, cut=False),
    Fault.PLATFORM_CUT: lambda scene: _between(scene, scene.to_platform, cut=True),
    Fault.PLATFORM_SILENT: lambda scene: _between(scene, scene.to_platform, cut=False),
    Fault.DOOR_CUT: lambda scene: _between(scene, scene.door, cut=True),
    Fault.DOOR_SILENT: lambda scene: _between(scene, scene.door, cut=False),
    Fault.DISK_FULL: _fill,
    Fault.AN_HOUR_ON: partial(_jump, seconds=AN_HOUR),
    Fault.AN_HOUR_BACK: partial(_jump, seconds=-AN_HOUR),
    Fault.KILLED_AN_HOUR_BACK: partial(_jump, seconds=-AN_HOUR, kills=True),
}

"""Injects the faults: each begins at the step, the process held there continues, and after a moment the fault ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from tests.faults.gateway_process import LEASE_SECONDS, SWEEP_SECONDS
from tests.faults.matrix.plan import MatrixFault
from tests.faults.matrix.proxy import TcpProxy

if TYPE_CHECKING:
    from tests.faults.matrix.cell_scenario import CellScenario

LONGER_THAN_LEASE = 2.2 * LEASE_SECONDS
SHORT_OUTAGE = 0.8
HOUR = 3600.0


def inject(scene: CellScenario) -> None:
    """Injects the fault of the scenario; returns when it is over."""
    INJECTORS[scene.cell.fault](scene)


def _kill(scene: CellScenario) -> None:
    scene.first.kill()
    scene.release()
    scene.start_replacement()


def _freeze(scene: CellScenario) -> None:
    scene.first.freeze()
    _wait_out_fault(scene, LONGER_THAN_LEASE)
    scene.first.resume()


def _restart_database(scene: CellScenario) -> None:
    scene.database.stop()
    scene.release()
    time.sleep(1.2 * LEASE_SECONDS)
    scene.database.start()
    if scene.cell.has_second_process:
        scene.start_replacement()


def _break_link(scene: CellScenario, link: TcpProxy | None, *, cut: bool) -> None:
    assert link is not None
    if cut:
        link.cut()
    else:
        link.stall()
    _wait_out_fault(scene, SHORT_OUTAGE if cut and not scene.cell.has_second_process else LONGER_THAN_LEASE)
    link.restore()


def _fill_disk(scene: CellScenario) -> None:
    scene.database.fill_disk()
    _wait_out_fault(scene, SHORT_OUTAGE)
    scene.database.free_disk()


def _shift_clock(scene: CellScenario, seconds: float, *, kills: bool = False) -> None:
    """Shifts the clocks. The second process is started before, and gets as long as the first one needs to renew its
    leases.
    """
    if scene.is_shared:
        scene.start_replacement()
    scene.database.shift_clock(seconds)
    scene.controls.set(clock_shift=seconds)
    if kills:
        scene.first.kill()
    time.sleep(2 * SWEEP_SECONDS)  # time for the second process to look for expired leases
    scene.release()
    if kills and not scene.is_shared:
        scene.start_replacement()


def _wait_out_fault(scene: CellScenario, seconds: float) -> None:
    end = time.monotonic() + seconds
    scene.release()
    if scene.cell.has_second_process:
        scene.start_replacement()
    time.sleep(max(0.0, end - time.monotonic()))


INJECTORS: Mapping[MatrixFault, Callable[[CellScenario], None]] = {
    MatrixFault.KILL: _kill,
    MatrixFault.FREEZE: _freeze,
    MatrixFault.RESTART: _restart_database,
    MatrixFault.DATABASE_CUT: lambda scene: _break_link(scene, scene.database_proxy, cut=True),
    MatrixFault.DATABASE_SILENT: lambda scene: _break_link(scene, scene.database_proxy, cut=False),
    MatrixFault.BACKEND_CUT: lambda scene: _break_link(scene, scene.backend_proxy, cut=True),
    MatrixFault.BACKEND_SILENT: lambda scene: _break_link(scene, scene.backend_proxy, cut=False),
    MatrixFault.PLATFORM_CUT: lambda scene: _break_link(scene, scene.platform_proxy, cut=True),
    MatrixFault.PLATFORM_SILENT: lambda scene: _break_link(scene, scene.platform_proxy, cut=False),
    MatrixFault.INBOUND_CUT: lambda scene: _break_link(scene, scene.gateway_proxy, cut=True),
    MatrixFault.INBOUND_SILENT: lambda scene: _break_link(scene, scene.gateway_proxy, cut=False),
    MatrixFault.DISK_FULL: _fill_disk,
    MatrixFault.CLOCK_FORWARD: partial(_shift_clock, seconds=HOUR),
    MatrixFault.CLOCK_BACK: partial(_shift_clock, seconds=-HOUR),
    MatrixFault.CLOCK_BACK_AND_KILL: partial(_shift_clock, seconds=-HOUR, kills=True),
}

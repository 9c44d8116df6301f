"""The contract of Store. Subclasses set the database."""

from __future__ import annotations

from tests.contracts.store_changing import ChangingContract
from tests.contracts.store_claiming import ClaimingContract
from tests.contracts.store_crowds import CrowdContract
from tests.contracts.store_holding import HoldingContract
from tests.contracts.store_joining import JoiningContract, MovingContract
from tests.contracts.store_recording import RecordingContract
from tests.contracts.store_refusing import RefusingContract, RetryingContract
from tests.contracts.store_schedules import ScheduleContract
from tests.contracts.store_sharing import SharingContract
from tests.contracts.store_trails import TrailContract
from tests.contracts.store_watching import WatchingContract
from tests.contracts.store_writing import WritingContract


class StoreContract(
    RecordingContract,
    RefusingContract,
    RetryingContract,
    ClaimingContract,
    WritingContract,
    ChangingContract,
    JoiningContract,
    MovingContract,
    HoldingContract,
    SharingContract,
    TrailContract,
    WatchingContract,
    ScheduleContract,
    CrowdContract,
):
    """Subclasses provide ``store``, ``peer`` (a Store of another process), ``expire_lease`` and ``let_time_pass``."""

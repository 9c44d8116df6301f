"""What every store must do. Subclass, say which database, and the promises of gateway.ports.Store are checked."""

from __future__ import annotations

from tests.contracts.store_claiming import ClaimingContract
from tests.contracts.store_holding import HoldingContract
from tests.contracts.store_recording import RecordingContract
from tests.contracts.store_schedules import ScheduleContract
from tests.contracts.store_writing import WritingContract


class StoreContract(RecordingContract, ClaimingContract, WritingContract, HoldingContract, ScheduleContract):
    """Subclasses give the fixtures ``store``, ``peer`` (the same, as another process has it) and ``expire``."""

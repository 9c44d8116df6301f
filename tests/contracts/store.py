"""The contract of Store. Subclasses set the database."""

from __future__ import annotations

from tests.contracts.store_albums_and_channels import JoiningContract, MovingContract
from tests.contracts.store_audit_log import TrailContract
from tests.contracts.store_claiming import ClaimingContract
from tests.contracts.store_concurrency import CrowdContract
from tests.contracts.store_enqueue import RecordingContract
from tests.contracts.store_failed_and_retry import RefusingContract, RetryingContract
from tests.contracts.store_key_value_and_tokens import SharingContract
from tests.contracts.store_leased_writes import WritingContract
from tests.contracts.store_leases import HoldingContract
from tests.contracts.store_maintenance import WatchingContract
from tests.contracts.store_state_machine import ScheduleContract
from tests.contracts.store_stop_edit_feedback import ChangingContract


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

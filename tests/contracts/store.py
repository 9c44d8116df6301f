"""The contract of Store. Subclasses set the database."""

from __future__ import annotations

from tests.contracts.store_albums_and_channels import AlbumContract, ChannelMigrationContract, CompleteContract
from tests.contracts.store_approvals import ApprovalsContract
from tests.contracts.store_assistants import AskedAssistantContract
from tests.contracts.store_audit_log import AuditLogContract
from tests.contracts.store_claiming import ClaimingContract
from tests.contracts.store_concurrency import ConcurrencyContract
from tests.contracts.store_enqueue import EnqueueContract
from tests.contracts.store_enqueue_together import EnqueueTogetherContract
from tests.contracts.store_failed_and_retry import EnqueueFailedContract, RetryContract
from tests.contracts.store_fairness import FairnessContract
from tests.contracts.store_foreign_writes import ForeignWriteContract
from tests.contracts.store_handovers import HandoverContract
from tests.contracts.store_joins import JoinContract
from tests.contracts.store_key_value_and_tokens import SharingContract
from tests.contracts.store_leased_writes import WritingContract
from tests.contracts.store_leases import LeaseContract
from tests.contracts.store_maintenance import MaintenanceContract
from tests.contracts.store_parking import ParkingContract
from tests.contracts.store_pushes import EnqueueAnsweredContract
from tests.contracts.store_state_machine import RandomOrderContract
from tests.contracts.store_stop_edit_feedback import ChangingContract


class StoreContract(
    EnqueueContract,
    EnqueueTogetherContract,
    EnqueueFailedContract,
    RetryContract,
    EnqueueAnsweredContract,
    ClaimingContract,
    WritingContract,
    ForeignWriteContract,
    ChangingContract,
    AlbumContract,
    CompleteContract,
    JoinContract,
    ChannelMigrationContract,
    LeaseContract,
    SharingContract,
    AuditLogContract,
    MaintenanceContract,
    ParkingContract,
    ApprovalsContract,
    FairnessContract,
    AskedAssistantContract,
    RandomOrderContract,
    HandoverContract,
    ConcurrencyContract,
):
    """Subclasses provide ``store``, ``peer`` (a Store of another process), ``expire_lease`` and ``let_time_pass``."""

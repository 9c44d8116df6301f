"""The Store on SQLAlchemy: SQLite for one process, PostgreSQL for several.

SqlStore only says which of the other classes implements which method.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Concatenate, ParamSpec, TypeVar

from gateway.ports.cluster import ClusterEvent, EventKind, WorkerLoad
from storage import pubsub
from storage.api_objects import SqlApiObjects
from storage.approvals import SqlApprovals
from storage.arrivals.enqueueing import SqlEnqueueing
from storage.audit_trail import SqlAuditTrail
from storage.blocks import SqlBlocks
from storage.budget_report import SqlBudgetReport
from storage.budgets import SqlBudgetStore
from storage.callbacks import SqlCallbacks
from storage.claiming.claims import SqlClaims
from storage.connecting.database import Database
from storage.feedback import SqlFeedbackReport
from storage.handovers import SqlHandovers
from storage.key_value import SqlKeyValueStore
from storage.leases import SqlLeases
from storage.people import SqlPeople
from storage.queries import SqlTurnQueries
from storage.reporting import SqlReportingStore
from storage.schedules import SqlSchedules
from storage.token_buckets import SqlTokenBuckets
from storage.tool_files import SqlToolFiles
from storage.turn_log import SqlTurnLogs
from storage.turn_queue import SqlTurnQueue
from storage.unparsed_updates import SqlUnparsedUpdates
from storage.uploads import SqlUploads

P = ParamSpec("P")
T = TypeVar("T")


def implemented_by(method_of: Callable[[SqlStore], Callable[P, T]]) -> Callable[Concatenate[SqlStore, P], T]:
    """Returns a method of SqlStore that calls the method which ``method_of`` returns."""

    def call(store: SqlStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method_of(store)(*args, **kwargs)

    return call


class SqlStore:
    """Implements Store and ReportingStore. Connects at the first call."""

    enqueueing: SqlEnqueueing
    turn_queue: SqlTurnQueue
    queries: SqlTurnQueries
    claims: SqlClaims
    leases: SqlLeases
    key_values: SqlKeyValueStore
    token_buckets: SqlTokenBuckets
    reporting: SqlReportingStore

    def __init__(self, url: str, *, lease_seconds: float = 15.0) -> None:
        """Raises SettingsError when the URL is invalid."""
        database = Database(url)
        self._database = database
        self.is_shared = database.kind == "postgresql"
        self.location = database.location
        self.queries = SqlTurnQueries(database)
        self.enqueueing = SqlEnqueueing(database, self.queries, lease_seconds)
        self.turn_queue = SqlTurnQueue(database, self.queries)
        self.claims = SqlClaims(database, lease_seconds)
        self.leases = SqlLeases(database, lease_seconds)
        self.key_values = SqlKeyValueStore(database)
        self.token_buckets = SqlTokenBuckets(database)
        self.reporting = SqlReportingStore(database)
        self.ledger = SqlBudgetStore(database)
        self.unparsed_updates = SqlUnparsedUpdates(database)
        self.api_objects = SqlApiObjects(database, "openai")
        self.tool_files = SqlToolFiles(database)
        self.schedules = SqlSchedules(database)
        self.callbacks = SqlCallbacks(database)
        self.handovers = SqlHandovers(database)
        self.uploads = SqlUploads(database)
        self.approvals = SqlApprovals(database)
        self.turn_logs = SqlTurnLogs(database)
        self.audit_trail = SqlAuditTrail(database)
        self.people = SqlPeople(database)
        self.blocks = SqlBlocks(database)
        self.feedback = SqlFeedbackReport(database)
        self.budget_report = SqlBudgetReport(database)

    enqueue_all = implemented_by(lambda store: store.enqueueing.enqueue_all)
    enqueue_answered = implemented_by(lambda store: store.turn_queue.enqueue_answered)
    enqueue_failed = implemented_by(lambda store: store.turn_queue.enqueue_failed)
    retry_turn = implemented_by(lambda store: store.turn_queue.retry_turn)
    append_to_queued = implemented_by(lambda store: store.turn_queue.append_to_queued)
    complete_queued = implemented_by(lambda store: store.turn_queue.complete_queued)
    edit_queued = implemented_by(lambda store: store.turn_queue.edit_queued)
    cancel_turn = implemented_by(lambda store: store.turn_queue.cancel_turn)
    provide_outputs = implemented_by(lambda store: store.turn_queue.provide_outputs)
    record_feedback = implemented_by(lambda store: store.turn_queue.record_feedback)
    migrate_channel = implemented_by(lambda store: store.turn_queue.migrate_channel)
    delete_conversation = implemented_by(lambda store: store.turn_queue.delete_conversation)
    release_adopted = implemented_by(lambda store: store.turn_queue.release_adopted)
    import_thread = implemented_by(lambda store: store.turn_queue.import_thread)

    get_turn = implemented_by(lambda store: store.queries.get_turn)
    find_turn_by_message = implemented_by(lambda store: store.queries.find_turn_by_message)
    find_newest_turn_by_message = implemented_by(lambda store: store.queries.find_newest_turn_by_message)
    find_conversation = implemented_by(lambda store: store.queries.find_conversation)
    find_conversation_by_thread = implemented_by(lambda store: store.queries.find_conversation_by_thread)
    former_threads = implemented_by(lambda store: store.queries.former_threads)
    transcript = implemented_by(lambda store: store.queries.transcript)
    past_turns = implemented_by(lambda store: store.queries.past_turns)
    count_turns = implemented_by(lambda store: store.queries.count_turns)
    stopped_in_channel = implemented_by(lambda store: store.queries.stopped_in_channel)
    feedback_on = implemented_by(lambda store: store.queries.feedback_on)
    queue_depths = implemented_by(lambda store: store.queries.queue_depths)
    ping = implemented_by(lambda store: store.queries.ping)
    is_disk_full = implemented_by(lambda store: store.queries.is_disk_full)

    claim = implemented_by(lambda store: store.claims.claim)
    wake = implemented_by(lambda store: store.leases.wake)
    renew_leases = implemented_by(lambda store: store.leases.renew_leases)
    apply_writes = implemented_by(lambda store: store.leases.apply_writes)
    repair_clock_skew = implemented_by(lambda store: store.leases.repair_clock_skew)

    approvals_of = implemented_by(lambda store: store.approvals.approvals_of)
    get_approval = implemented_by(lambda store: store.approvals.get_approval)
    decide = implemented_by(lambda store: store.approvals.decide)
    close_approvals = implemented_by(lambda store: store.approvals.close_approvals)
    open_approvals = implemented_by(lambda store: store.approvals.open_approvals)

    get_value = implemented_by(lambda store: store.key_values.get_value)
    set_value_if_absent = implemented_by(lambda store: store.key_values.set_value_if_absent)
    set_value = implemented_by(lambda store: store.key_values.set_value)
    replace_value = implemented_by(lambda store: store.key_values.replace_value)
    delete_value = implemented_by(lambda store: store.key_values.delete_value)
    try_lock = implemented_by(lambda store: store.key_values.try_lock)

    take_token = implemented_by(lambda store: store.token_buckets.take_token)
    take_tokens = implemented_by(lambda store: store.token_buckets.take_tokens)
    block_for = implemented_by(lambda store: store.token_buckets.block_for)

    now = implemented_by(lambda store: store.reporting.now)
    find_turns = implemented_by(lambda store: store.reporting.find_turns)
    find_conversations = implemented_by(lambda store: store.reporting.find_conversations)
    get_conversation = implemented_by(lambda store: store.reporting.get_conversation)
    usage_buckets = implemented_by(lambda store: store.reporting.usage_buckets)
    usage_by_assistant = implemented_by(lambda store: store.reporting.usage_by_assistant)
    turns_by_author = implemented_by(lambda store: store.reporting.turns_by_author)
    quotes_of = implemented_by(lambda store: store.reporting.quotes_of)
    feedback_by = implemented_by(lambda store: store.reporting.feedback_by)
    decisions_by = implemented_by(lambda store: store.reporting.decisions_by)
    unfinished_turns_by = implemented_by(lambda store: store.reporting.unfinished_turns_by)
    conversations_of = implemented_by(lambda store: store.reporting.conversations_of)
    erase_author = implemented_by(lambda store: store.reporting.erase_author)
    erase_feedback_by = implemented_by(lambda store: store.reporting.erase_feedback_by)
    erase_older_than = implemented_by(lambda store: store.reporting.erase_older_than)
    purge_expired = implemented_by(lambda store: store.reporting.purge_expired)

    def listen(self, on_event: Callable[[ClusterEvent], None], stopped: Event) -> None:
        """Also receives the events of this process."""
        if self.is_shared:
            pubsub.listen(self._database.listen_connection, on_event, stopped)

    def announce(self, load: WorkerLoad) -> None:
        if self.is_shared:
            with self._database.single_write() as connection:
                pubsub.publish(connection, [ClusterEvent(EventKind.LOAD, load=load)])

    def close(self) -> None:
        self._database.close()

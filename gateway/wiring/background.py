"""What works beside the turns in one process: wired here, and started once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.admin import AdminSettings
from gateway.callbacks import CallbackSettings
from gateway.callbacks.outbox import EventOutbox
from gateway.callbacks.sender import CallbackSender
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.retry import repeat
from gateway.handover.automatic import AutomaticHandovers
from gateway.handover.staff_channel import StaffChannel, StaffPlace
from gateway.observability.turn_log import TurnLogRing
from gateway.policy.admission import AdmissionControl
from gateway.push import PushSettings
from gateway.push.messages import PushMessages
from gateway.push.scheduler import Scheduler
from gateway.wiring.platforms import callback_outbox
from gateway.wiring.running_gateway import Gateway
from gateway.worker.accepting.people_recorder import PeopleRecorder
from gateway.worker.turns.turn_processor import TurnProcessor
from gateway.worker.upkeep.abandoned_turns import AbandonedTurns
from gateway.worker.upkeep.maintenance import Maintenance
from gateway.worker.upkeep.retention import DAY_SECONDS, apply_retention
from gateway.worker.upkeep.turn_log_publisher import KEPT_SECONDS, TurnLogPublisher
from storage.store import SqlStore

STAFF_SECONDS = 2.0
"""Seconds between two looks at what to bring to the channel of the staff."""


@dataclass(frozen=True)
class BackgroundWork:
    """The background tasks of a gateway, and the parts of it that they alone use besides."""

    gateway: Gateway
    store: AsyncStore
    processor: TurnProcessor
    admission: AdmissionControl
    backpressure: Backpressure
    handovers: AutomaticHandovers

    def start_recording_people(self) -> None:
        """Stores who writes, and keeps the list of who is blocked current; it is read before this returns.

        Raises StoreUnavailable.
        """
        inbox, store, block_list = self.gateway.async_inbox, self.gateway.store, self.admission.block_list
        recorder = PeopleRecorder(self.store, store.people, store.blocks, block_list)
        block_list.refresh(store.blocks)
        inbox.on_recorded, inbox.refused.may_tell = recorder.note, recorder.may_tell
        self.processor.context_fetcher.on_names = recorder.learn
        self.gateway.worker.run_in_background(recorder.run())

    def start_maintenance(self) -> None:
        """Starts what each process does once in a while: queue depth, schedules, handovers that end, retention."""
        gateway, admission = self.gateway, self.admission
        retention = partial(_apply_retention, gateway.store, gateway.settings.retention_days)
        abandoned_turns = AbandonedTurns(self.store, gateway.assistants, admission, gateway.metrics)
        maintenance = Maintenance(
            self.store,
            self.backpressure,
            retention,
            abandoned_turns,
            self._scheduler().run_due,
            self.handovers.end_overdue,
            owner=gateway.worker.owner,
        )
        gateway.worker.run_in_background(maintenance.run())

    def _scheduler(self) -> Scheduler:
        gateway = self.gateway
        skips_missed = gateway.load(PushSettings).push_missed == "skip"
        messages = PushMessages(gateway.adapters, gateway.assistants.router)
        accept, schedules = gateway.async_inbox.accept, gateway.store.schedules
        return Scheduler(self.store, schedules, messages, accept, skips_missed=skips_missed)

    def start_publishing_turn_logs(self) -> None:
        """Starts to store the log lines of turns that somebody looks at, if there are pages to look at them."""
        if self.gateway.load(AdminSettings).enabled:
            worker, turn_logs = self.gateway.worker, self.gateway.store.turn_logs
            worker.run_in_background(TurnLogPublisher(TurnLogRing(), self.store, turn_logs, worker.owner).run())

    def start_callbacks(self) -> None:
        """Starts to post what is stored for addresses of programs, and to store the events that the operator wants."""
        settings, store = self.gateway.load(CallbackSettings), self.gateway.store
        outbox = callback_outbox(settings, store)
        if outbox is None:
            return
        if settings.callback_events_url:
            events = EventOutbox(outbox, self.store, settings.callback_events_url, settings.events)
            self.processor.on_resolved, self.gateway.async_inbox.on_feedback = events.on_resolved, events.on_feedback
            self.processor.handovers.on_changed = events.on_handover
        rule, keys, hours = settings.rule, settings.keys, settings.callback_hours
        sender = CallbackSender(self.store, store.callbacks, rule, keys, hours=hours)
        self.gateway.worker.run_in_background(sender.run())

    def start_staff_channel(self, place: StaffPlace | None) -> None:
        """Starts to show conversations that are handed over in the channel of the staff, if there is one."""
        if place is None:
            return
        inbox, worker, most = self.gateway.async_inbox, self.gateway.worker, self.gateway.settings.max_reply_chars
        handovers = self.gateway.store.handovers
        staff = StaffChannel(self.store, handovers, place, inbox.accept, owner=worker.owner, most=most)
        inbox.as_answer = staff.as_answer
        pause = partial(asyncio.sleep, STAFF_SECONDS)
        worker.run_in_background(repeat(staff.relay, "handovers not shown to the staff", pause))


def _apply_retention(store: SqlStore, days: float, may_continue: Callable[[], bool]) -> int:
    """Erases what is older than so many days (0: nothing), see ``apply_retention``. Raises StoreUnavailable."""
    store.turn_logs.erase_older_than(KEPT_SECONDS)
    if days > 0:
        store.api_objects.erase_older_than(days * DAY_SECONDS)
        store.people.erase_older_than(days * DAY_SECONDS)
    return apply_retention(store, store.unparsed_updates, days, may_continue)

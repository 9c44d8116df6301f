"""The subcommands that need parts of a gateway: what each one opens, and closes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import click

from adapters import console
from adapters.http.settings import HttpSettings
from adapters.openai_api import cli as openai_cli
from adapters.slack import manifest as slack_manifest
from adapters.telegram import cli as telegram_cli
from adapters.telegram.settings import TelegramSettings
from gateway import assistants
from gateway.app import free_platforms, open_gateway, open_store
from gateway.cli import callbacks, config, explain, handover, init, people, push, reload, settings_table, turns
from gateway.cli.actor import actor
from gateway.configuration import CurrentConfiguration
from gateway.handover import HandoverSettings
from gateway.operations import BackendThreads
from gateway.policy.routes import AssistantRouter
from gateway.policy.rules import Rules
from gateway.ports.assistant import Assistant
from gateway.ports.audit_trail import AuditedAction, AuditTrail
from gateway.ports.callbacks import Callbacks
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Adapter
from gateway.push.messages import PushMessages
from gateway.settings import Settings
from gateway.tools import ToolBox
from gateway.web.api.api_keys import ApiKeys
from gateway.wiring.loading import (
    load,
    load_bot,
    load_configuration,
    load_settings,
    platform_settings,
    settings_classes,
)
from gateway.wiring.platforms import enabled_platforms, people_hand_over
from gateway.worker.worker import run_once
from storage.connecting.database_url import require_file
from storage.store import SqlStore


def commands() -> Sequence[click.Command]:
    """Returns the subcommands that ``gateway.cli.main`` adds to the group."""
    return (
        console.command(_open_console, run_once),
        *turns.commands(_open_admin_store, BackendThreads(_build_assistant, run_once), platform_settings),
        *people.commands(_open_admin_store, platform_settings),
        *push.commands(_open_push_context),
        callbacks.command(_open_callbacks),
        handover.command(_open_handovers),
        explain.command(_open_explain_context),
        settings_table.command(settings_classes),
        config.command(),
        reload.command(_open_admin_store),
        init.command,
        slack_manifest.command(),
        telegram_cli.command(run_once, partial(load_bot, TelegramSettings)),
        *openai_cli.commands(_open_api_objects),
    )


@contextmanager
def _open_console(adapter: Adapter) -> Iterator[tuple[Inbox, str]]:
    """Opens a gateway for one person at this terminal. Raises SettingsError, StoreUnavailable."""
    settings = load_settings(quiet=True)
    gateway = open_gateway(settings, (adapter,), open_store(settings))
    try:
        yield gateway.inbox, gateway.description
    finally:
        gateway.close(settings.grace_seconds)


@contextmanager
def _open_admin_store() -> Iterator[SqlStore]:
    """Opens the store alone, for the commands that look into it. Raises SettingsError, StoreUnavailable.

    A database that is not there is not created: who looks for turns in another folder would find an empty one.
    """
    settings = load_settings(quiet=True)
    require_file(settings.database_url)
    with _opened(settings) as store:
        yield store


@contextmanager
def _opened(settings: Settings) -> Iterator[SqlStore]:
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _open_api_objects() -> Iterator[openai_cli.ObjectsOfKeys]:
    """Opens what threads of OpenAI's API are kept in, for a command that changes them.

    Raises SettingsError, StoreUnavailable.
    """
    with _opened(load_settings(quiet=True)) as store:
        yield openai_cli.ObjectsOfKeys(store.api_objects, ApiKeys(HttpSettings.load().keys).owners)
        store.audit_trail.record(actor(), AuditedAction.COMMAND_RUN, click.get_current_context().info_name or "")


@contextmanager
def _open_explain_context() -> Iterator[explain.ExplainContext]:
    """Opens what the ``explain`` command reads, also before the first start. Raises SettingsError, StoreUnavailable."""
    settings = load_settings(quiet=True)
    with _opened(settings) as store:
        current = CurrentConfiguration(load_configuration(settings))
        adapters = enabled_platforms(settings, store, current)
        yield explain.ExplainContext(
            adapters=adapters,
            store=store,
            reporting=store,
            budget_store=store.ledger,
            rules=Rules.load(),
            router=AssistantRouter(current, free_platforms(adapters)),
            max_backlog=settings.max_backlog,
            max_queue=settings.max_queue,
            max_queue_per_platform=settings.max_queue_per_platform,
            max_caller_share=settings.max_caller_share,
            max_workspace_share=settings.max_workspace_share,
            hands_over=people_hand_over(load),
        )


@contextmanager
def _open_callbacks() -> Iterator[tuple[Callbacks, AuditTrail]]:
    """Opens what is posted to programs. Raises SettingsError, StoreUnavailable."""
    with _open_admin_store() as store:
        yield store.callbacks, store.audit_trail


@contextmanager
def _open_handovers() -> Iterator[handover.HandoverContext]:
    """Opens what the command ``handover`` works with. Raises SettingsError, StoreUnavailable."""
    settings = load_settings(quiet=True)
    with _open_admin_store() as store:
        limits = settings.max_reply_chars, settings.max_backlog
        place = HandoverSettings.load().place
        staff = "" if place is None else place.platform
        yield handover.HandoverContext(store, store, store.handovers, store.audit_trail, *limits, staff)


@contextmanager
def _open_push_context() -> Iterator[push.PushContext]:
    """Opens what the commands need that push messages. Raises SettingsError, StoreUnavailable."""
    settings = load_settings(quiet=True)
    with _open_admin_store() as store:
        current = CurrentConfiguration(load_configuration(settings))
        adapters = enabled_platforms(settings, store, current)
        yield push.PushContext(
            messages=PushMessages(adapters, AssistantRouter(current, free_platforms(adapters))),
            store=store,
            schedules=store.schedules,
            audit_trail=store.audit_trail,
            now=store.now(),
            max_prompt_chars=settings.max_message_chars,
            max_text_chars=settings.max_reply_chars,
            max_backlog=settings.max_backlog,
        )


def _build_assistant(name: str) -> Assistant | None:
    """Builds an assistant for single requests, such as deleting a thread; it runs no turn and has no tools."""
    definition = load_configuration(load_settings(quiet=True)).assistants.get(name)
    if definition is None:
        return None
    return assistants.build(definition.settings, ToolBox(()), assistants.NoSharedValues())
